    // Where the processor goes on an exception or an interrupt: keeps the registers that a function may change, and tells
    // `trap` what happened and where the processor was.
    .macro vector is_interrupt
    .balign 128
    sub sp, sp, #192
    stp x0, x1, [sp]
    mov x0, #\is_interrupt
    b common
    .endm

    .text
    .balign 2048
    .globl vectors
vectors:
    .rept 4
    vector 0                    // an exception
    vector 1                    // an interrupt
    vector 1
    vector 0
    .endr

common:
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x30, [sp, #144]
    mrs x1, elr_el1
    mrs x2, esr_el1
    stp x1, x2, [sp, #160]
    mrs x1, far_el1
    stp x1, x0, [sp, #176]
    mov x0, sp
    bl trap
    ldr x1, [sp, #160]
    msr elr_el1, x1
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    ldp x18, x30, [sp, #144]
    ldp x0, x1, [sp]
    add sp, sp, #192
    eret
