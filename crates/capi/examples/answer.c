/* Installs a function that returns 42, calls it, changes it to return 43, and frees it. */
#include "execmem.h"

#include <stdio.h>
#include <string.h>

#define CHECK(call)                                              \
    do {                                                         \
        execmem_status status_ = (call);                         \
        if (status_ != EXECMEM_OK) {                             \
            fprintf(stderr, "%s: status %d\n", #call, status_);  \
            return 1;                                            \
        }                                                        \
    } while (0)

int main(void) {
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3, 0, 0}; /* x86-64: mov eax, 42; ret */
    static const unsigned char other[] = {0xb8, 43, 0, 0, 0, 0xc3, 0, 0};
    execmem_memory *memory;
    execmem_allocation *function, *data;
    int (*call)(void);
    void *address;

    CHECK(execmem_create(0, EXECMEM_BEST, &memory));
    CHECK(execmem_alloc(memory, EXECMEM_TEXT, sizeof code, &function));
    CHECK(execmem_write(function, 0, code, sizeof code));
    CHECK(execmem_publish_allocation(function));
    address = execmem_address(function);
    memcpy(&call, &address, sizeof call);
    printf("%d\n", call());
    CHECK(execmem_patch(function, 0, other, sizeof other, EXECMEM_UNEXECUTED));
    printf("%d\n", call());

    CHECK(execmem_alloc(memory, EXECMEM_DATA, 100, &data));
    CHECK(execmem_publish_allocation(data));
    strcpy(execmem_address(data), "written directly");
    printf("%s\n", (char *)execmem_address(data));

    /* What makes no sense is a status, not a crash. */
    printf("%d", execmem_write(function, 0, code, 1) == EXECMEM_STAGE);
    printf("%d", execmem_patch(function, execmem_size(function), code, 1, EXECMEM_EXECUTED) == EXECMEM_BOUNDS);
    printf("%d", execmem_patch(data, 0, code, 1, EXECMEM_EXECUTED) == EXECMEM_STAGE);
    printf("%d", execmem_patch(function, 1, other, 4, EXECMEM_EXECUTED) == EXECMEM_PIECES);
    printf("%d", execmem_alloc(memory, EXECMEM_TEXT, 0, &data) == EXECMEM_INVALID);
    printf("%d\n", execmem_alloc(NULL, EXECMEM_TEXT, 1, &data) == EXECMEM_INVALID);
    execmem_free(function);
    execmem_free(NULL);
    execmem_shrink(memory);
    execmem_destroy(memory);
    return 0;
}
