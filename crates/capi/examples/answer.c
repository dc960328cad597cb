/* Installs a function that returns 42, calls it, changes it to return 43, and frees it. */
#include "execmem.h"

#include <stdio.h>
#include <string.h>

#define CHECK(call)                                              \
    do {                                                         \
        execmem_status status_ = (call);                         \
        if (status_ != EXECMEM_OK) {                             \
            fprintf(stderr, "%s: %s\n", #call, execmem_status_text(status_)); \
            return 1;                                            \
        }                                                        \
    } while (0)

/* What an interface needs that hands out an address to execute and one to write, and gets the first back. */
static int two_pointers(execmem_memory *memory) {
    static const unsigned char code[] = {0xb8, 44, 0, 0, 0, 0xc3}; /* mov eax, 44; ret */
    execmem_allocation *function;
    execmem_found found;
    int (*call)(void);
    void *address, *writable;
    char why[200];

    CHECK(execmem_alloc_aligned(memory, EXECMEM_TEXT, 1000, 256, 7, &function));
    CHECK(execmem_truncate(function, sizeof code));
    writable = execmem_writable(function);
    if (writable)
        memcpy(writable, code, sizeof code);
    else
        CHECK(execmem_write(function, 0, code, sizeof code));
    printf("%d", execmem_keep(memory, function) == NULL); /* a draft */
    CHECK(execmem_publish_allocation(function));
    address = execmem_keep(memory, function);
    memcpy(&call, &address, sizeof call);
    printf("%d", call() == 44);
    CHECK(execmem_find(memory, (char *)address + 5, &found));
    printf("%d", found.address == address && (size_t)address % 256 == 0 && found.bytes < 256);
    printf("%d", found.kind == EXECMEM_TEXT && found.owner == 7);
    CHECK(execmem_free_at(memory, address));
    printf("%d", execmem_free_at(memory, address) == EXECMEM_ABSENT);
    printf("%d", execmem_error_text(NULL, 0) == execmem_error_text(why, sizeof why));
    printf("%d", strstr(why, "no live allocation holds 0x") == why);
    printf("%d", execmem_error_text(why, 8) > 8 && !strcmp(why, "no live"));
    printf("%d", !strcmp(execmem_status_text(EXECMEM_ABSENT), "nothing is at this address"));
    printf("%d\n", !strcmp(execmem_version(), EXECMEM_VERSION));
    return 0;
}

int main(void) {
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3, 0, 0}; /* x86-64: mov eax, 42; ret */
    static const unsigned char other[] = {0xb8, 43, 0, 0, 0, 0xc3, 0, 0};
    execmem_memory *memory;
    execmem_allocation *function, *data, *none;
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
    printf("%d", execmem_alloc(memory, EXECMEM_TEXT, 0, &none) == EXECMEM_INVALID);
    printf("%d\n", execmem_alloc(NULL, EXECMEM_TEXT, 1, &none) == EXECMEM_INVALID);

    two_pointers(memory);
    execmem_free(function);
    execmem_free(data);
    execmem_free(NULL);
    execmem_shrink(memory);
    execmem_destroy(memory);
    return 0;
}
