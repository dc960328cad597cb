# What the rows of riscv64 stand for. `site`, `first`, `second`, `handler` and `data` are given.
    .option norvc
    .option norelax
    .section .site,"ax"
    nop
    jal t0, first
    jal zero, second
    .section .trampoline,"ax"
    addi sp, sp, -96
    sd t0, 0(sp)
    sd ra, 8(sp)
    sd a0, 16(sp)
    sd a1, 24(sp)
    sd a2, 32(sp)
    sd a3, 40(sp)
    sd a4, 48(sp)
    sd a5, 56(sp)
    sd a6, 64(sp)
    sd a7, 72(sp)
    mv a0, t0
    mv a1, ra
    auipc t1, 0
    ld a2, 76(t1)
    ld t1, 68(t1)
    jalr t1
    ld t0, 0(sp)
    ld ra, 8(sp)
    ld a0, 16(sp)
    ld a1, 24(sp)
    ld a2, 32(sp)
    ld a3, 40(sp)
    ld a4, 48(sp)
    ld a5, 56(sp)
    ld a6, 64(sp)
    ld a7, 72(sp)
    addi sp, sp, 96
    jr t0
    nop
    .quad handler
    .quad data
    .section .dispatcher,"ax"
    .irp target, first, second
    auipc t0, 0
    ld t0, 24(t0)
    bne a2, t0, . + 24
    tail \target
    nop
    .quad \target
    .endr
    jr a2
