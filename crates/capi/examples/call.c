/* Installs a function that returns 42, and calls it. */
#include <execmem.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* x86-64: mov eax, 42; ret */
    execmem_memory *memory = NULL;
    execmem_allocation *function = NULL;
    int status = execmem_create(0, EXECMEM_BEST, &memory);
    if (!status)
        status = execmem_alloc(memory, EXECMEM_TEXT, sizeof code, &function);
    if (!status)
        status = execmem_write(function, 0, code, sizeof code);
    if (!status)
        status = execmem_publish_allocation(function);
    if (!status) {
        void *address = execmem_address(function);
        int (*call)(void);
        memcpy(&call, &address, sizeof call);
        printf("%d\n", call());
    }
    execmem_free(function);
    execmem_destroy(memory);
    return status;
}
