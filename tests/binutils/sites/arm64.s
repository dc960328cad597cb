// What the rows of arm64 stand for. `site`, `first`, `second`, `handler` and `data` are given.
    .section .site,"ax"
    nop
    bl first
    b second
    .section .trampoline,"ax"
    stp x29, x30, [sp, #-96]!
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    stp x8, x9, [sp, #80]
    mov x29, sp
    mov x0, x30
    mov x1, x9
    ldr x16, handler_at
    ldr x2, data_at
    blr x16
    ldp x8, x9, [sp, #80]
    ldp x6, x7, [sp, #64]
    ldp x4, x5, [sp, #48]
    ldp x2, x3, [sp, #32]
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #96
    mov x10, x30
    mov x30, x9
    br x10
    nop
handler_at:
    .quad handler
data_at:
    .quad data
    .section .dispatcher,"ax"
    .irp target, first, second
    movz x9, #:abs_g0_nc:\target
    movk x9, #:abs_g1_nc:\target
    movk x9, #:abs_g2_nc:\target
    movk x9, #:abs_g3:\target
    cmp x2, x9
    b.ne . + 8
    b \target
    .endr
    br x2
