# Alternatives, as Linux's macros make them; with EXPECTED, what they become on processors that have the features HAS_n.
    .macro entry flags
    .pushsection .altinstructions, "a"
    .long 661b - ., 664f - .
    .ifdef WIDE
    .word feature, \flags
    .else
    .word feature | (\flags & 1) << 15
    .endif
    .byte 663b - 661b, 665f - 664f
    .popsection
    .endm

    .macro replacement code:vararg
    .pushsection .altinstr_replacement, "ax"
664:
    \code
665:
    .popsection
    .endm

# A site of a length: what stands there, or instead of it if a feature is there, or is not.
    .macro alternative length, feature, flags, old, new
    .set feature, \feature
661:
    .ifdef EXPECTED
    .if HAS_\feature ^ (\flags & 1)
    \new
    .else
    \old
    .endif
    .nops \length - (. - 661b), 8
    .else
    \old
    .skip \length - (. - 661b), 0x90
    .endif
663:
    entry \flags
    replacement \new
    .endm

    .macro alternative_2 length, old, feature1, new1, feature2, new2
    .set feature, \feature1
661:
    .ifdef EXPECTED
    .if HAS_\feature2
    \new2
    .elseif HAS_\feature1
    \new1
    .else
    \old
    .endif
    .nops \length - (. - 661b), 8
    .else
    \old
    .skip \length - (. - 661b), 0x90
    .endif
663:
    entry 0
    replacement \new1
    .set feature, \feature2
    entry 0
    replacement \new2
    .endm

    .text
    .globl start
start:
    alternative 5, 3, 0, "call outer", "call other"
    alternative 5, 4, 0, "call outer", "call other"
    alternative 5, 3, 1, "jmp outer", "jmp other"
    alternative 5, 4, 1, "mov $0x90909090, %eax", "ret"
    alternative 6, 3, 0, "jz start", "jnz other"
    alternative 7, 3, 0, "", "mov counter(%rip), %rax"
    alternative 8, 3, 0, "lfence", "cmpl $5, counter(%rip)"
    alternative 10, 3, 0, "", "movabs $counter, %rax"
    alternative 12, 3, 0, "ret", "ret"
    alternative 3, 3, 0, "lfence", ""
    alternative 16, 4, 0, "ret", "call outer"
    alternative_2 9, "call outer", 3, "lfence", 4, "call other"
    alternative_2 9, "call outer", 4, "lfence", 3, "call *%rax"
    alternative_2 9, "ret", 4, "lfence", 4, "call other"
    .ifdef WIDE
    .set feature, 3
661:
    .ifdef EXPECTED
    call callee
    .nops 1
    .else
    call *pointer(%rip)
    .endif
663:
    entry 2
    replacement call nobody
    .set feature, 3
661:
    .ifdef EXPECTED
    .nops 6
    .else
    call *empty(%rip)
    .endif
663:
    entry 2
    replacement call nobody
    .endif
    ret
    .data
    .globl counter
counter:
    .quad 0, 0
