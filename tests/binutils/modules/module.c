/* What compilers make of kernel code: constants, tables of functions and strings, jump tables, and each kind of section.
 * Executed by tests/linux/modules.rs, which knows what it computes. */
typedef unsigned int u32;

extern u32 outer(u32);

static u32 counter;
static u32 seeds[4] = {3, 5, 7, 11};
static u32 limit __attribute__((section(".data..ro_after_init"))) = 1;
static u32 once __attribute__((section(".init.data"))) = 41;
static const char *const names[] = {"zero", "one", "two", "three"};

static u32 twice(u32 x) { return 2 * x; }
static u32 square(u32 x) { return x * x; }
static __attribute__((noinline)) u32 through(u32 x) { return outer(x) ^ counter; }
static u32 (*const functions[])(u32) = {twice, square, through};

struct site {
    const void *code;
    u32 *key;
};
static struct site site __attribute__((section("__jump_table"), used)) = {names, seeds};

u32 entry(u32 operation, u32 x)
{
    switch (operation) {
    case 0:
        return outer(x) + 1;
    case 1:
        return functions[x % 3](x);
    case 2:
        return (u32)names[x % 4][0] << 8 | names[x % 4][1];
    case 3:
        counter += x;
        return counter;
    case 4:
        seeds[x % 4] ^= x;
        return seeds[x % 4];
    case 5:
        return limit;
    case 6:
        return site.code == names ? 2 : 0;
    case 7:
        return site.key == seeds ? site.key[0] : 0;
    default:
        return ~x;
    }
}

__attribute__((section(".init.text"))) int init_module(void)
{
    limit = once + (u32)sizeof(void *);
    return 0;
}

__attribute__((section(".exit.text"))) void cleanup_module(void) { counter = 0; }
