/* cpu_x86.c - what an x86-64 processor offers, and whether the operating system saves the registers (XGETBV).
 * Source: Intel 64 and IA-32 Software Developer's Manual, volume 1, "Detection of AVX-512 Foundation Instructions";
 * AMD64 Architecture Programmer's Manual, volume 3, "Fn8000_001A Performance Optimization Identifiers". */
#include <cpuid.h>

#include "ops/kernels/cpu.h"

enum {
    LEAF1_ECX_FMA = 1 << 12, LEAF1_ECX_OSXSAVE = 1 << 27, LEAF1_ECX_F16C = 1 << 29,
    LEAF7_EBX_AVX2 = 1 << 5, LEAF7_EBX_AVX512F = 1 << 16, LEAF7_EBX_AVX512DQ = 1 << 17, LEAF7_EBX_AVX512BW = 1 << 30,
    LEAF7_ECX_AVX512_VNNI = 1 << 11, LEAF7_1_EAX_AVX_VNNI = 1 << 4,
    LEAF_OPTIMIZATION = (int)0x8000001a, OPTIMIZATION_FP256 = 1 << 2,
    STATE_YMM = 0x6, STATE_ZMM = 0xe6,
};
#define LEAF7_EBX_AVX512VL (1u << 31)

extern const ingot_kernels ingot_kernels_baseline, ingot_kernels_avx2, ingot_kernels_avxvnni, ingot_kernels_avx512,
    ingot_kernels_avx512vnni;

static bool has(unsigned value, unsigned bits) { return (value & bits) == bits; }

/* Are all bits set in leaf 1's ECX and leaf 7's EBX, and does the system keep the register state `state`? */
static bool has_all(unsigned ecx1, unsigned ebx7, unsigned state)
{
    unsigned a, b, c, d, low, high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, ecx1 | LEAF1_ECX_OSXSAVE))
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, ebx7))
        return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return has(low, state);
}

static bool has_avx2(void) { return has_all(LEAF1_ECX_FMA | LEAF1_ECX_F16C, LEAF7_EBX_AVX2, STATE_YMM); }

static bool has_avxvnni(void)
{
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && has(a, LEAF7_1_EAX_AVX_VNNI);
}

#ifdef INGOT_WITHOUT_AVX512
#define AVX512_LEVELS
#else
static bool has_avx512(void)
{
    const unsigned avx512 =
        (unsigned)(LEAF7_EBX_AVX512F | LEAF7_EBX_AVX512DQ | LEAF7_EBX_AVX512BW) | LEAF7_EBX_AVX512VL;
    return has_avx2() && has_all(LEAF1_ECX_FMA, avx512, STATE_ZMM);
}

static bool has_avx512vnni(void)
{
    unsigned a, b, c, d;
    return has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && has(c, LEAF7_ECX_AVX512_VNNI);
}

#define AVX512_LEVELS { &ingot_kernels_avx512, has_avx512 }, { &ingot_kernels_avx512vnni, has_avx512vnni },
#endif

const ingot_isa_level ingot_isas[] = {
    { &ingot_kernels_baseline, NULL },
    { &ingot_kernels_avx2, has_avx2 },
    { &ingot_kernels_avxvnni, has_avxvnni },
    AVX512_LEVELS
    { NULL, NULL },
};

bool ingot_cpu_splits_wide(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(LEAF_OPTIMIZATION, &a, &b, &c, &d) && has(a, OPTIMIZATION_FP256);
}
