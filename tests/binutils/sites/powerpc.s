# What the rows of 32-bit powerpc stand for. `site`, `first`, `second`, `handler` and `data` are given.
    .section .site,"ax"
    nop
    bl first
    b second
    .section .trampoline,"ax"
trampoline:
    stwu 1, -64(1)
    stw 0, 48(1)
    mflr 11
    stw 11, 52(1)
    stw 3, 16(1)
    stw 4, 20(1)
    stw 5, 24(1)
    stw 6, 28(1)
    stw 7, 32(1)
    stw 8, 36(1)
    stw 9, 40(1)
    stw 10, 44(1)
    mr 3, 11
    mr 4, 0
    bcl 20, 31, here
here:
    mflr 12
    lwz 5, (data_at - here)(12)
    lwz 12, (handler_at - here)(12)
    mtctr 12
    bctrl
    lwz 3, 16(1)
    lwz 4, 20(1)
    lwz 5, 24(1)
    lwz 6, 28(1)
    lwz 7, 32(1)
    lwz 8, 36(1)
    lwz 9, 40(1)
    lwz 10, 44(1)
    lwz 11, 52(1)
    lwz 0, 48(1)
    addi 1, 1, 64
    mtlr 0
    mtctr 11
    bctr
handler_at:
    .long handler
data_at:
    .long data
    .section .dispatcher,"ax"
    .irp target, first, second
    lis 12, \target@h
    ori 12, 12, \target@l
    cmplw 5, 12
    bne . + 8
    b \target
    .endr
    mtctr 5
    bctr
