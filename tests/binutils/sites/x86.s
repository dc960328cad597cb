# What the rows of x86-64 stand for. `site`, `first`, `second`, `handler` and `data` are given.
    .section .site,"ax"
    {disp8} nopl (%rax,%rax,1)
    call first
    jmp second
    .section .trampoline,"ax"
    pushfq
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    mov 80(%rsp), %rdi
    mov 88(%rsp), %rsi
    mov data_at(%rip), %rdx
    call *handler_at(%rip)
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    popfq
    ret
    .balign 8, 0xcc
handler_at:
    .quad handler
data_at:
    .quad data
    .section .dispatcher,"ax"
    .irp target, first, second
    movabs $\target, %rax
    cmp %rax, %rdx
    .byte 0x0f, 0x84
    .long \target - . - 4
    .endr
    jmp *%rdx
