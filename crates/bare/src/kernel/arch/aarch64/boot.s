    .set BASE, 0xffff800040000000
    // The emulator starts one processor here, at its physical address and without paging. The kernel starts the second at
    // `second`, likewise.
    .section .boot, "ax"
    .globl boot, second
boot:
    adrp x9, main
    add x9, x9, :lo12:main
    mov x10, #0x10000
    b enter
second:
    adrp x9, second_main
    add x9, x9, :lo12:second_main
    mov x10, #0x20000

    // Paging on, with x9 the function to go on with, still a physical address, and x10 where its stack ends.
enter:
    msr daifset, #15
    msr spsel, #1
    adrp x0, STACKS
    add x10, x10, x0
    mov x0, #0xff               // memory of kind 0 is cached, of kind 1 a device
    msr mair_el1, x0
    ldr x0, =0x2b5103510        // 48 bits, pages of 4 KiB, tables cached, 40 bits of physical addresses
    msr tcr_el1, x0
    adrp x0, boot_root
    msr ttbr0_el1, x0
    msr ttbr1_el1, x0
    tlbi vmalle1
    dsb sy
    isb
    mrs x0, sctlr_el1
    mov x1, #0x1005             // instruction cache, data cache, paging
    orr x0, x0, x1
    bic x0, x0, #2              // accesses need not be aligned
    msr sctlr_el1, x0
    isb
    ldr x0, =BASE
    add x10, x10, x0
    mov sp, x10
    add x9, x9, x0
    mov x29, #0
    blr x9
1:  wfi
    b 1b
    .ltorg

    // Leaves of 1 GiB, used. Devices and memory are at their own addresses and at DIRECT, memory is at BASE too.
    .section .data
    .balign 4096
boot_root:
    .quad boot_low - BASE + 3
    .skip 8 * 255
    .quad boot_high - BASE + 3
    .skip 8 * 255
boot_low:
    .quad 0x405
    .quad 0x40000701
    .skip 8 * 510
boot_high:
    .skip 8 * 2
    .quad 0x40000701
    .skip 8 * 509
    .text
