# Relocation types of x86-64 that occur in modules.
    .text
    .globl entry
entry:
    call outer
    lea message(%rip), %rdi
    mov $message, %rdi
    mov counter+4(%rip), %eax
    jmp near
    .skip 100, 0x90
near:
    ret
    .section .init.text,"ax"
    call entry
    ret
    .data
    .quad entry, near+3, outer+8, entry - .
counter:
    .long 0, 0
    .section .rodata,"a"
message:
    .asciz "text"
    .balign 4
    .long near - .
    .quad outer - .
    .section __jump_table,"aw"
    .long entry - ., counter - .
    .quad message - .
