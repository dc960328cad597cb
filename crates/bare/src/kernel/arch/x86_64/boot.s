    .set BASE, 0xffffffff80000000
    # The loader reads a note to find the entry: 32 bits, no paging (PVH).
    .section .note.pvh, "a", @note
    .balign 4
    .long 4                     # length of the name
    .long 8                     # length of the address
    .long 18                    # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .balign 4
    .quad boot - BASE

    .section .boot, "ax"
    .globl boot
    .code32
boot:
    cli
    # 1 GiB of memory at its own addresses, at DIRECT and at BASE: one table serves all three.
    mov eax, offset boot_gigabytes - BASE + 3
    mov [boot_root - BASE], eax
    mov [boot_root - BASE + 8 * 273], eax
    mov [boot_root - BASE + 8 * 511], eax
    mov dword ptr [boot_gigabytes - BASE], 0x83
    mov dword ptr [boot_gigabytes - BASE + 8 * 510], 0x83
    mov ebx, offset boot_64 - BASE
    # Both processors come by here, with what they go on with in ebx.
    .globl enter_64
enter_64:
    mov esp, offset enter_stack_end - BASE
    mov eax, offset boot_root - BASE
    mov cr3, eax
    mov eax, cr4
    or eax, 0x620               # PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov ecx, 0xc0000080         # EFER
    rdmsr
    or eax, 0x900               # LME, NXE
    wrmsr
    mov eax, cr0
    and eax, 0xfffffffb         # EM off
    or eax, 0x80010003          # PG, WP, MP, PE
    mov cr0, eax
    lgdt [gdt_pointer - BASE]
    push 8
    mov eax, offset in_64 - BASE
    push eax
    retf
    .code64
in_64:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    lgdt [rip + gdt_pointer_64]
    movabs rax, BASE
    add rax, rbx
    jmp rax

boot_64:
    lea rsp, [rip + STACKS + 0x10000]
    xor ebp, ebp
    call main
2:  hlt
    jmp 2b

    # The second processor starts here, in real mode, at the page this is copied to: 0x8000.
    .globl second_start, second_end
    .balign 8
    .code16
second_start:
    cli
    jmp 3f
    .balign 8
    .quad 0                     # 0x8008: segments for 32 bits
    .quad 0x00cf9a000000ffff    # code
    .quad 0x00cf92000000ffff    # data
    .word 23                    # 0x8020: where they are
    .long 0x8008
3:  xor ax, ax
    mov ds, ax
    lgdt [0x8020]
    mov eax, cr0
    or eax, 1
    mov cr0, eax
    .byte 0x66, 0xea            # jmp 8:second_32
    .long 0x8000 + second_32 - second_start
    .word 8
    .code32
second_32:
    mov eax, 16
    mov ds, eax
    mov ss, eax
    mov ebx, offset second_64 - BASE
    mov eax, offset enter_64 - BASE
    jmp eax
second_end:
    .code64
second_64:
    lea rsp, [rip + STACKS + 0x20000]
    xor ebp, ebp
    call second_main
2:  hlt
    jmp 2b

    .section .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9a000000ffff    # code, 64 bits
    .quad 0x00cf92000000ffff    # data
gdt_pointer:                    # before paging
    .word 23
    .long gdt - BASE
gdt_pointer_64:
    .word 23
    .quad gdt

    .section .bss
    .balign 4096
boot_root: .skip 4096
boot_gigabytes: .skip 4096
enter_stack: .skip 64
enter_stack_end:
    .text
