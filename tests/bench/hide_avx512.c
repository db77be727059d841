/* hide_avx512.c - preloaded (LD_PRELOAD) into a program, hides from it what a processor has beyond AVX2 and FMA:
 * AVX-512, AVX-VNNI and AMX. So every engine runs here as on a machine that lacks them, as far as it asks CPUID.
 * Linux lets a thread and those that it starts fault on CPUID (arch_prctl(2), ARCH_SET_CPUID), where the processor can;
 * the handler asks in its place and clears bits. What ran before, such as the C library's choice of memcpy, stays.
 * Where it cannot, HIDE_PATCHED=1 says that patch_cpuid.py has put UD2 in CPUID's place, which faults everywhere.
 * Bits: Intel 64 and IA-32 Software Developer's Manual, volume 2, "CPUID". */
#include <cpuid.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { SET_CPUID = 0x1012, LEAF_FEATURES = 7, LEAF_AVX10 = 0x24 };

typedef struct {
    unsigned a, b, c, d;
} registers;

/* Feature bits of leaf 7, by subleaf. */
static const registers hidden[] = {
    {.b = 1u << 16 | 1u << 17 | 1u << 21 | 7u << 26 | 3u << 30,   /* AVX512 F DQ IFMA PF ER CD BW VL */
     .c = 1u << 1 | 1u << 6 | 3u << 11 | 1u << 14,                /* AVX512 VBMI VBMI2 VNNI BITALG VPOPCNTDQ */
     .d = 3u << 2 | 1u << 8 | 0xfu << 22},                        /* AVX512 4VNNIW 4FMAPS VP2INTERSECT FP16, AMX */
    {.a = 3u << 4 | 1u << 21 | 1u << 23,                          /* AVX-VNNI, AVX512 BF16, AMX-FP16, AVX-IFMA */
     .d = 3u << 4 | 1u << 8 | 1u << 10 | 1u << 19},               /* AVX-VNNI-INT8, NE-CONVERT, INT16, AMX, AVX10 */
};

static bool patched;

static int set_cpuid(int allowed) { return patched ? 0 : (int)syscall(SYS_arch_prctl, SET_CPUID, allowed); }

static registers ask(unsigned leaf, unsigned subleaf)
{
    registers r;

    set_cpuid(1);
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
    set_cpuid(0);
    if (leaf == LEAF_AVX10)
        return (registers){0};
    if (leaf == LEAF_FEATURES && subleaf < sizeof(hidden) / sizeof(*hidden)) {
        r.a &= ~hidden[subleaf].a;
        r.b &= ~hidden[subleaf].b;
        r.c &= ~hidden[subleaf].c;
        r.d &= ~hidden[subleaf].d;
    }
    return r;
}

static void answer(int signal_number, siginfo_t *info, void *context)
{
    greg_t *saved = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *instruction = (const unsigned char *)saved[REG_RIP];

    (void)info;
    if (instruction[0] != 0x0f || instruction[1] != (patched ? 0x0b : 0xa2)) {
        signal(signal_number, SIG_DFL);   /* a fault of the program's own: the instruction faults again, without us */
        return;
    }
    const registers r = ask((unsigned)saved[REG_RAX], (unsigned)saved[REG_RCX]);
    saved[REG_RAX] = r.a;
    saved[REG_RBX] = r.b;
    saved[REG_RCX] = r.c;
    saved[REG_RDX] = r.d;
    saved[REG_RIP] += 2;
}

__attribute__((constructor)) static void hide(void)
{
    const struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};

    patched = getenv("HIDE_PATCHED") != NULL;
    if (sigaction(patched ? SIGILL : SIGSEGV, &action, NULL) || set_cpuid(0)) {
        perror("hide_avx512: this processor or system cannot let CPUID fault (see patch_cpuid.py)");
        exit(EXIT_FAILURE);
    }
}
