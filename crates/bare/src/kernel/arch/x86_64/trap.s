    # What the processor calls on an exception or an interrupt: keeps the registers that a function may change, and tells
    # `trap` the number and where the processor was.
    .macro entry number, has_code
    .balign 16
    .if \has_code == 0
    push 0
    .endif
    push \number
    jmp common
    .endm

    .text
    .balign 16
    .globl trap_entries
trap_entries:
    entry 3, 0                  # breakpoint
    entry 6, 0                  # invalid instruction
    entry 8, 1                  # double fault
    entry 13, 1                 # protection
    entry 14, 1                 # page fault
    entry 64, 0                 # from another processor

common:
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push rbx
    cld
    mov rdi, rsp
    mov rbx, rsp
    and rsp, -16
    call trap
    mov rsp, rbx
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq
