# Relocation types of riscv that occur in modules.
    .option norelax
    .text
    .globl entry
entry:
    call outer
    tail outer_jump
    lla a0, message
    lw a1, counter
    sw a1, counter, t0
    beqz a0, near
    j near
    .section .text.near,"ax"
near:
    ret
    .section .init.text,"ax"
    call entry
    ret
    .data
    .quad entry, near+4, outer+8
    .balign 16
counter:
    .quad 0, 0
    .section .rodata,"a"
message:
    .asciz "text"
    .balign 8
    .quad counter - message
    .quad near - entry
    .long near - entry
    .half near - entry
    .byte counter - message
    .reloc ., R_RISCV_SET6, near
    .reloc ., R_RISCV_SUB6, entry
    .byte 0xc0
    .section __jump_table,"aw"
    .long entry - ., counter - .
