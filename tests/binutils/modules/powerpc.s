# Relocation types of 32-bit powerpc that occur in modules.
    .text
    .globl entry
entry:
    bl outer
    bl outer_plt@plt
    bl inner@local
    lis 9, counter@ha
    lwz 3, counter@l(9)
    lis 4, message@h
    ori 4, 4, message@l
    li 5, small@l
    bcl 20, 31, .Lhere
.Lhere:
    mflr 30
    addis 30, 30, (counter - .Lhere)@ha
    addi 30, 30, (counter - .Lhere)@l
    lis 6, (message - .Lhere)@h
    b outer_jump
    beq near
    .section .text.near,"ax"
near:
    b entry
    .globl inner
inner:
    blr
    .section .init.text,"ax"
    bl entry
    blr
    .data
    .long entry, near+4, outer+8, entry - .
    .balign 16
counter:
    .long 0, 0
    .section .rodata,"a"
message:
    .asciz "text"
    .balign 4
    .long near - .
    .short small
    .byte 0
    .long counter
    .section __jump_table,"aw"
    .long entry - ., counter - .
    .long message - .
    .globl small
    .set small, 0x1234
