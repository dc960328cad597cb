/* Installs a function that returns 42 in the memory that the process shares, and calls it. */
#include <execmem.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* x86-64: mov eax, 42; ret */
    execmem_memory *memory = NULL;
    execmem_allocation *function = NULL;
    char why[200];
    int (*call)(void);
    int status = execmem_shared(&memory);
    if (!status)
        status = execmem_alloc(memory, EXECMEM_TEXT, sizeof code, &function);
    if (!status)
        status = execmem_write(function, 0, code, sizeof code);
    if (!status)
        status = execmem_publish_allocation(function);
    if (status) {
        execmem_error_text(why, sizeof why);
        fprintf(stderr, "%s\n", why);
    } else {
        void *address = execmem_address(function);
        memcpy(&call, &address, sizeof call);
        printf("%d\n", call());
    }
    execmem_free(function);
    execmem_destroy(memory);
    return status;
}
