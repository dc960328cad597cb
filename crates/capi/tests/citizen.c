/* What a process in C does around the library. The first argument names the scene, the second how text is published;
 * exits with 0 if all is as it should be, else with the line that says what is not. */
#define _GNU_SOURCE
#include <errno.h>
#include <execmem.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { fprintf(stderr, "%d: " #condition "\n", __LINE__); exit(1); } } while (0)

static execmem_publish way;
static execmem_memory *memory;

static void make(size_t window) { CHECK(execmem_create(window, way, &memory) == EXECMEM_OK); }

#if defined __x86_64__
enum { CODE_BYTES = 6 };
static void returns(unsigned char *code, int value) { /* mov eax, value; ret */
    code[0] = 0xb8, code[5] = 0xc3;
    memcpy(code + 1, &value, 4);
}
#elif defined __aarch64__
enum { CODE_BYTES = 8 };
static void returns(unsigned char *code, int value) { /* movz w0, value; ret */
    unsigned words[2] = {0x52800000u | (unsigned)value << 5, 0xd65f03c0u};
    memcpy(code, words, 8);
}
#else
#error "no function of this machine"
#endif

/* A function that returns a value below 65,536, in an allocation of some bytes. */
static execmem_allocation *install_in(execmem_memory *where, int value, size_t bytes) {
    unsigned char code[CODE_BYTES];
    execmem_allocation *function = NULL;
    returns(code, value);
    if (execmem_alloc(where, EXECMEM_TEXT, bytes, &function) != EXECMEM_OK)
        return NULL;
    CHECK(execmem_write(function, 0, code, sizeof code) == EXECMEM_OK);
    CHECK(execmem_publish_allocation(function) == EXECMEM_OK);
    return function;
}

static execmem_allocation *install(int value) {
    execmem_allocation *function = install_in(memory, value, 64);
    CHECK(function);
    return function;
}

static int run(const execmem_allocation *function) {
    void *address = execmem_address(function);
    int (*call)(void);
    memcpy(&call, &address, sizeof call);
    return call();
}

/* A number of KiB in a file of /proc. */
static long kib(const char *file, const char *name) {
    static char text[1 << 16];
    int descriptor = open(file, O_RDONLY);
    ssize_t len = 0, part;
    while ((part = read(descriptor, text + len, sizeof text - 1 - (size_t)len)) > 0)
        len += part;
    text[len] = 0;
    close(descriptor);
    char *found = strstr(text, name);
    return found ? strtol(found + strlen(name), NULL, 10) : -1;
}

static int wait_for(pid_t child) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static long micros_since(struct timespec start) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (end.tv_sec - start.tv_sec) * 1000000 + (end.tv_nsec - start.tv_nsec) / 1000;
}

/* Microseconds to map 2 MiB and write to all of it, page by page: what this machine, with all that it does now, is good for. */
static long yardstick(void) {
    enum { BYTES = 2 << 20 };
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    char *bytes = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(bytes != MAP_FAILED);
    madvise(bytes, BYTES, MADV_NOHUGEPAGE);
    memset(bytes, 0xcc, BYTES);
    CHECK(!munmap(bytes, BYTES));
    return micros_since(start);
}

/* Microseconds to the result of the first function, KiB of memory that it took, and the yardstick. Files of programs and
 * libraries do not count: they are there once for all processes. The system maps 64 KiB of them around each page that is
 * used: 460 KiB of a release build, 390 KiB of one that is optimised as a whole, 340 KiB of one that is also for size. */
static void first(void) {
    struct timespec start;
    kib("/proc/self/smaps_rollup", "Pss:");
    long anonymous = kib("/proc/self/smaps_rollup", "Pss_Anon:"), shared = kib("/proc/self/smaps_rollup", "Pss_Shmem:");
    clock_gettime(CLOCK_MONOTONIC, &start);
    make(0);
    execmem_allocation *function = install(42);
    int result = run(function);
    long micro = micros_since(start);
    CHECK(result == 42);
    anonymous = kib("/proc/self/smaps_rollup", "Pss_Anon:") - anonymous;
    shared = kib("/proc/self/smaps_rollup", "Pss_Shmem:") - shared;
    printf("%ld %ld %ld\n", micro, anonymous + shared, yardstick());
}

/* All descriptors from 3 on are closed, and a file of the program gets the number. */
static void daemon_scene(void) {
    static char content[1 << 20], back[1 << 20];
    char name[] = "/tmp/execmem-citizen-XXXXXX";
    make(0);
    execmem_allocation *functions[64];
    for (int i = 0; i < 64; i++)
        CHECK(functions[i] = install_in(memory, i, 60000));
    syscall(SYS_close_range, 3, ~0U, 0);
    int file = mkstemp(name);
    CHECK(file == 3);
    memset(content, 7, sizeof content);
    CHECK(write(file, content, sizeof content) == sizeof content);
    for (int i = 0; i < 64; i++) {
        CHECK(run(functions[i]) == i);
        execmem_free(functions[i]);
    }
    execmem_shrink(memory);
    execmem_allocation *again = install(5);
    CHECK(run(again) == 5);
    execmem_free(again);
    execmem_destroy(memory);
    CHECK(pread(file, back, sizeof back, 0) == sizeof back && !memcmp(content, back, sizeof back));
    unlink(name);
}

/* A child calls what is there, and can change neither code nor data of its parent. */
static void fork_scene(void) {
    make(0);
    execmem_allocation *function = install(42), *data = NULL;
    CHECK(execmem_alloc(memory, EXECMEM_DATA, 64, &data) == EXECMEM_OK && execmem_publish_allocation(data) == EXECMEM_OK);
    volatile char *byte = execmem_address(data);
    *byte = 1;
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            execmem_allocation *more = NULL;
            execmem_memory *own = NULL, *common = NULL;
            alarm(20);
            CHECK(run(function) == 42 && *byte == 1);
            *byte = 2;
            CHECK(execmem_alloc(memory, EXECMEM_TEXT, 64, &more) == EXECMEM_FORKED && !more);
            CHECK(execmem_patch(function, 0, "\xcc", 1, EXECMEM_UNEXECUTED) == EXECMEM_FORKED);
            CHECK(execmem_write(data, 0, "x", 1) == EXECMEM_FORKED);
            char *page = (char *)((size_t)execmem_address(function) & ~(size_t)4095);
            if (!mprotect(page, 4096, PROT_READ | PROT_WRITE))
                memset(page, 0xcc, 4096); /* of a copy */
            else
                CHECK(errno == EACCES && way == EXECMEM_POKE);
            execmem_free(function);
            execmem_destroy(memory);
            CHECK(execmem_create(32 << 20, way, &own) == EXECMEM_OK && run(install_in(own, 7, 64)) == 7);
            CHECK(execmem_shared(&common) == EXECMEM_OK && run(install_in(common, 8, 64)) == 8);
            _exit(0);
        }
        CHECK(wait_for(child) == 0);
        CHECK(run(function) == 42 && *byte == 1);
    }
    char *page = (char *)((size_t)execmem_address(function) & ~(size_t)4095);
    CHECK(way != EXECMEM_POKE || (mprotect(page, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES));
    execmem_free(data);
    execmem_free(function);
    execmem_destroy(memory);
}

static atomic_int is_over;
static atomic_long rounds;

/* Allocates, calls, frees and shrinks until it is over. */
static void *work(void *number) {
    for (int round = 0; !atomic_load(&is_over); round++) {
        int value = *(int *)number << 8 | (round & 255);
        execmem_allocation *function = install_in(memory, value, 64 + (size_t)(round % 50) * 1000);
        CHECK(function && run(function) == value);
        execmem_free(function);
        if (round % 64 == 0)
            execmem_shrink(memory);
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

/* Forks beside threads at work: no child hangs, each calls what is there and is refused the rest. */
static void threads(void) {
    pthread_t workers[4];
    int numbers[4] = {1, 2, 3, 4};
    make(64 << 20);
    execmem_allocation *function = install(42);
    for (int i = 0; i < 4; i++)
        CHECK(!pthread_create(&workers[i], NULL, work, &numbers[i]));
    for (int i = 0; i < 1000; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            execmem_allocation *more = NULL;
            alarm(20);
            CHECK(run(function) == 42);
            CHECK(execmem_alloc(memory, EXECMEM_TEXT, 64, &more) == EXECMEM_FORKED && !more);
            CHECK(execmem_alloc(memory, EXECMEM_DATA, 64, &more) == EXECMEM_FORKED && !more);
            CHECK(execmem_patch(function, 0, "\xcc", 1, EXECMEM_UNEXECUTED) == EXECMEM_FORKED);
            execmem_shrink(memory);
            execmem_free(function);
            _exit(0);
        }
        CHECK(wait_for(child) == 0);
    }
    atomic_store(&is_over, 1);
    for (int i = 0; i < 4; i++)
        CHECK(!pthread_join(workers[i], NULL));
    CHECK(run(function) == 42 && atomic_load(&rounds) > 1000);
    execmem_free(function);
    execmem_destroy(memory);
}

/* Addresses are scarce from the start. */
static void addresses(void) {
    struct rlimit limit = {200 << 20, 200 << 20};
    CHECK(!setrlimit(RLIMIT_AS, &limit));
    make(0);
    execmem_allocation *function = install(42), *data = NULL;
    CHECK(run(function) == 42 && execmem_alloc(memory, EXECMEM_DATA, 64, &data) == EXECMEM_OK);
    limit.rlim_cur = 1 << 20;
    CHECK(!setrlimit(RLIMIT_AS, &limit));
    /* Errors, and no end of the process. */
    for (int i = 0; i < 64 && install_in(memory, i, 1 << 20); i++)
        ;
    CHECK(run(function) == 42);
}

/* An unprivileged process with a limit locks all that it has: a short window, which counts at its length. */
static void lock(void) {
    struct rlimit limit = {48 << 20, 48 << 20};
    if (setrlimit(RLIMIT_MEMLOCK, &limit)) {
        limit.rlim_cur = limit.rlim_max = 8 << 20;
        CHECK(!setrlimit(RLIMIT_MEMLOCK, &limit));
    }
    make(2 << 20);
    execmem_allocation *function = install(42);
    long before = kib("/proc/self/status", "VmRSS:");
    if (getuid() == 0)
        CHECK(!setresuid(65534, 65534, 65534));
    if (limit.rlim_cur > (rlim_t)kib("/proc/self/status", "VmSize:") << 10)
        CHECK(!mlockall(MCL_CURRENT | MCL_FUTURE));
    CHECK(run(function) == 42);
    CHECK(kib("/proc/self/status", "VmRSS:") - before < 16 << 10);
}

/* The superuser locks everything, whatever the window. */
static void lock_all(void) {
    make(0);
    execmem_allocation *function = install(42);
    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        return; /* It is not the superuser. */
    CHECK(run(function) == 42);
    CHECK(kib("/proc/self/status", "VmRSS:") < 16 << 10);
}

/* Ends with a core file of little more than what is live. */
static void core(void) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    CHECK(!setrlimit(RLIMIT_CORE, &limit));
    make(0);
    CHECK(run(install(42)) == 42);
    abort();
}

int main(int count, char **arguments) {
    static const struct { const char *name; void (*run)(void); } scenes[] = {
        {"first", first}, {"daemon", daemon_scene}, {"fork", fork_scene}, {"threads", threads},
        {"addresses", addresses},
        {"lock", lock}, {"lock-all", lock_all}, {"core", core},
    };
    CHECK(count == 3);
    way = (execmem_publish)atoi(arguments[2]);
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (!strcmp(scenes[i].name, arguments[1]))
            return scenes[i].run(), 0;
    return 2;
}
