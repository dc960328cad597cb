    # Functions that the kernel copies into memory of the engine. They work wherever they stand.
    .section .rodata.code, "a"
    .globl code_answer, code_answer_end
code_answer:                    # returns 42
    mov eax, 42
    ret
code_answer_end:

    .globl code_traced, code_traced_site, code_traced_end
code_traced:                    # returns its argument and one, and can be traced
code_traced_site:
    .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
    lea rax, [rdi + 1]
    ret
code_traced_end:

    .globl code_probed, code_probed_end
code_probed:                    # returns its argument and 1000. The first instruction depends on where it stands.
    mov eax, [rip + thousand]
    add eax, edi
    ret
thousand:
    .long 1000
code_probed_end:
    .text
