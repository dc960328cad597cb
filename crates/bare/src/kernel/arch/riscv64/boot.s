    .set BASE, 0xffffffff00000000
    # The firmware starts one processor here, at its physical address and without paging: a0 is its number. The kernel starts
    # the second at `second`, likewise.
    .section .boot, "ax"
    .globl boot, second
boot:
    lla sp, STACKS
    lla t2, main
    lla t3, boot_hart
    sd a0, 0(t3)
    j enter
second:
    lla sp, STACKS
    li t0, 0x10000
    add sp, sp, t0
    lla t2, second_main

    # Paging on, with sp a stack and t2 the function to go on with, both still physical addresses.
enter:
    csrw sie, zero
    li t0, 0x10000
    add sp, sp, t0
    lla t0, boot_root
    srli t0, t0, 12
    li t1, 8 << 60              # Sv39
    or t0, t0, t1
    sfence.vma
    csrw satp, t0
    sfence.vma
    li t0, BASE
    add sp, sp, t0
    add t2, t2, t0
    jalr t2
1:  wfi
    j 1b

    .section .data
    .balign 8
    .globl boot_hart
boot_hart: .dword 0

    # Leaves of 1 GiB, readable, writable, executable, used. Memory is at its own addresses, at DIRECT and at BASE; devices are
    # at DIRECT.
    .balign 4096
boot_root:
    .skip 8 * 2
    .dword 0x80000000 >> 2 | 0xcf
    .skip 8 * (320 - 3)
    .dword 0xcf
    .skip 8
    .dword 0x80000000 >> 2 | 0xcf
    .skip 8 * (510 - 323)
    .dword 0x80000000 >> 2 | 0xcf
    .skip 8
    .text
