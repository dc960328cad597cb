// Relocation types of arm64 that occur in modules.
    .text
    .globl entry
entry:
    bl outer
    adrp x0, message
    add x0, x0, :lo12:message
    adrp x1, counter
    ldrb w2, [x1, :lo12:counter]
    ldrh w2, [x1, :lo12:counter]
    ldr w2, [x1, :lo12:counter]
    ldr x2, [x1, :lo12:counter]
    ldr q2, [x1, :lo12:counter]
    b outer_jump
    cbz x0, near
    tbz x0, #3, near
    movz x3, #:abs_g3:entry
    movk x3, #:abs_g2_nc:entry
    movk x3, #:abs_g1_nc:counter
    movk x3, #:abs_g0_nc:counter
    movz x4, #:abs_g2_s:outer
    movz x5, #:prel_g0:entry
    movz x5, #:prel_g0:forward
    movz x6, #:prel_g1:counter
    movk x6, #:prel_g0_nc:counter
    movz x7, #:prel_g2:outer
    movk x7, #:prel_g1_nc:outer
    movz x7, #:prel_g3:outer
    movk x7, #:prel_g2_nc:outer
    .section .text.near,"ax"
near:
    adr x0, near
forward:
    ret
    .section .init.text,"ax"
    bl entry
    ret
    .data
    .quad entry, near+4, outer+8, entry - .
    .balign 16
counter:
    .quad 0, 0
    .section .rodata,"a"
message:
    .asciz "text"
    .balign 4
    .long near - .
    .section __jump_table,"aw"
    .long entry - ., counter - .
    .quad message - .
