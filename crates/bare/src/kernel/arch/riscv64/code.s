    # Functions that the kernel copies into memory of the engine. They work wherever they stand.
    .section .rodata.code, "a"
    .option push
    .option norvc
    .balign 4
    .globl code_answer, code_answer_end
code_answer:                    # returns 42
    li a0, 42
    ret
code_answer_end:

    .globl code_traced, code_traced_site, code_traced_end
code_traced:                    # returns its argument and one, and can be traced
code_traced_site:
    nop
    addi a0, a0, 1
    ret
code_traced_end:

    .globl code_probed, code_probed_end
code_probed:                    # returns its argument and 1000
    addi a0, a0, 1000
    ret
code_probed_end:
    .option pop
    .text
