/* Executable memory for JITs: packed, in 2 MiB pages, never writable and executable.
 *
 * A memory is one window of addresses, and keeps no file open. An allocation starts as a draft, is written, and is published; then code can
 * be executed and constants are read-only. Handles are not zero while they are valid, and are not used after
 * execmem_free. All functions may be called by any thread; one handle is used by one thread at a time.
 *
 * The version is semantic: within one EXECMEM_VERSION_MAJOR (while it is 0, one EXECMEM_VERSION_MINOR) nothing that is
 * declared here changes or goes; enumerations and functions are added.
 *
 * In a forked child existing code can be called, data is the child's own copy, and every function on the parent's memory
 * is EXECMEM_FORKED or does nothing. A child that makes code makes memory of its own.
 */
#ifndef EXECMEM_H
#define EXECMEM_H

#include <stddef.h>
#include <stdint.h>

#define EXECMEM_VERSION_MAJOR 0
#define EXECMEM_VERSION_MINOR 1
#define EXECMEM_VERSION_PATCH 0
#define EXECMEM_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is linked, which EXECMEM_VERSION is of this header. */
const char *execmem_version(void);

typedef struct execmem_memory execmem_memory;
typedef struct execmem_allocation execmem_allocation;

typedef enum execmem_kind {
    EXECMEM_TEXT = 0,  /* code */
    EXECMEM_DATA = 1,  /* writable data */
    EXECMEM_RODATA = 2 /* constants */
} execmem_kind;

typedef enum execmem_status {
    EXECMEM_OK = 0,
    EXECMEM_INVALID = 1,   /* a null pointer, or an argument that makes no sense */
    EXECMEM_EXHAUSTED = 2, /* no addresses or no memory left */
    EXECMEM_BOUNDS = 3,    /* an access outside the allocation */
    EXECMEM_STAGE = 4,     /* not possible before, or not possible after, publication */
    EXECMEM_SYSTEM = 5,    /* the operating system refused */
    EXECMEM_PIECES = 6,    /* so many bytes do not change in one piece here */
    EXECMEM_FORKED = 7,    /* this process was forked from the one that made the memory */
    EXECMEM_ABSENT = 8     /* nothing is at this address */
} execmem_status;

/* What a status means, in words. Never null. */
const char *execmem_status_text(execmem_status status);

/* Why the last call of this thread that failed did, with addresses and sizes. Copies at most `bytes` bytes, the last of which
 * is zero, and returns how long the text is without it, as snprintf does. */
size_t execmem_error_text(char *text, size_t bytes);

/* How content gets into text. */
typedef enum execmem_publish {
    EXECMEM_BEST = 0,     /* the first of these that the system allows */
    EXECMEM_POKE = 1,     /* two mappings of one file */
    EXECMEM_PROC_MEM = 2, /* one mapping that the kernel writes to */
    EXECMEM_FLIP = 3      /* one mapping whose rights change */
} execmem_publish;

/* Reserves a window of this many bytes, a multiple of 2 MiB up to 2 GiB, near the program; 0 is the default size. */
execmem_status execmem_create(size_t window_bytes, execmem_publish publish, execmem_memory **memory);

/* The memory that everything in the process shares that is linked with this library: near the program there is room for
 * one or two windows. Made when it is first asked for; in a forked child, once more. Destroyed like any other, which
 * leaves it to the others. */
execmem_status execmem_shared(execmem_memory **memory);

/* The same. If it is not there yet, it is made with this window, published so: the first caller decides. */
execmem_status execmem_shared_with(size_t window_bytes, execmem_publish publish, execmem_memory **memory);

/* Gives the window up: it is unmapped when its last allocation is freed. Frees what was kept in it. */
void execmem_destroy(execmem_memory *memory);

/* Allocates at least this many bytes, a draft. */
execmem_status execmem_alloc(execmem_memory *memory, execmem_kind kind, size_t bytes, execmem_allocation **allocation);

/* The same at a multiple of `alignment`, a power of two up to the size of a large page, for an owner, a number that
 * execmem_find tells; 0 is none. */
execmem_status execmem_alloc_aligned(execmem_memory *memory, execmem_kind kind, size_t bytes, size_t alignment,
                                     uint16_t owner, execmem_allocation **allocation);

/* Shortens an allocation to this many bytes, rounded up, and frees the rest. EXECMEM_INVALID unless some stay and some go. */
execmem_status execmem_truncate(execmem_allocation *allocation, size_t bytes);

/* The address at which it will be executed or read; never written directly, except published EXECMEM_DATA. */
void *execmem_address(const execmem_allocation *allocation);

/* Its bytes, rounded up. */
size_t execmem_size(const execmem_allocation *allocation);

/* Copies bytes into a draft, or into data. */
execmem_status execmem_write(execmem_allocation *allocation, size_t offset, const void *bytes, size_t len);

/* Where a draft can be stored to directly, all of its bytes, until it is published or freed. References in code are computed
 * for execmem_address. Null where there is no such place, and then execmem_write does it: unless memory is published as
 * EXECMEM_POKE, and for what lies in two units of 2 MiB. */
void *execmem_writable(execmem_allocation *allocation);

/* Makes code executable and constants read-only. */
execmem_status execmem_publish_allocation(execmem_allocation *allocation);

/* What other threads do with the bytes of code while they change. */
typedef enum execmem_meanwhile {
    EXECMEM_UNEXECUTED = 0, /* nothing: the caller vouches for it */
    EXECMEM_EXECUTED = 1,   /* they may execute them: aligned bytes, as many as the processor fetches in one piece */
    EXECMEM_LOADED = 2      /* code may load them, as an address or a constant: an aligned word */
} execmem_meanwhile;

/* Changes published code. EXECMEM_PIECES if the bytes cannot change in one piece, as the last argument demands. */
execmem_status execmem_patch(execmem_allocation *allocation, size_t offset, const void *bytes, size_t len,
                             execmem_meanwhile meanwhile);

/* Frees an allocation of any stage. Nothing executes it any more. Null is ignored. */
void execmem_free(execmem_allocation *allocation);

typedef struct execmem_found {
    void *address; /* of its first byte */
    size_t bytes;
    execmem_kind kind;
    uint16_t owner;
} execmem_found;

/* The allocation that holds an address, without a lock. EXECMEM_ABSENT if there is none. */
execmem_status execmem_find(const execmem_memory *memory, const void *address, execmem_found *found);

/* Leaves a published allocation of this memory to its address, which is returned: the handle is not used afterwards, and
 * execmem_free_at frees it. Null if it is not published or not of this memory; then the handle stays. */
void *execmem_keep(execmem_memory *memory, execmem_allocation *allocation);

/* Frees what execmem_keep left in this memory to an address in it. EXECMEM_ABSENT if there is none. Nothing executes it any more. */
execmem_status execmem_free_at(execmem_memory *memory, const void *address);

/* Gives memory that is not used back to the system. */
void execmem_shrink(execmem_memory *memory);

#ifdef __cplusplus
}
#endif

#endif
