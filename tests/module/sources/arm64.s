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
    .section .text.near,"ax"
near:
    adr x0, near
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
