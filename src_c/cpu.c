/* What this processor and its operating system can run. arm64 needs no question: NEON is part of it. */
#include "fastconv.h"
#include "platform.h"

#ifdef FC_X86

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static void cpuid(uint32_t leaf, uint32_t reg[4]) { __cpuidex((int *)reg, (int)leaf, 0); }
static uint64_t xgetbv(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(uint32_t leaf, uint32_t reg[4])
{
    __cpuid_count(leaf, 0, reg[0], reg[1], reg[2], reg[3]);
}
static uint64_t xgetbv(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#endif

enum { EAX, EBX, ECX, EDX };
#define BIT(n) ((uint32_t)1 << (n))

/* The feature bits of leaf 7, given the register state that the system saves (Intel SDM 13.3, 15.2):
 * without it in XCR0 an instruction traps, whatever the processor says of itself. */
static uint32_t leaf7_features(uint64_t state)
{
    uint32_t reg[4];
    const uint32_t osxsave = BIT(27), avx = BIT(28), fma = BIT(12);
    cpuid(0, reg);
    if (reg[EAX] < 7)
        return 0;
    cpuid(1, reg);
    if ((reg[ECX] & (osxsave | avx | fma)) != (osxsave | avx | fma) || (xgetbv() & state) != state)
        return 0;
    cpuid(7, reg);
    return reg[EBX];
}

int fc_cpu_has_avx2_fma(void)
{
    return (leaf7_features(0x06) & BIT(5)) != 0; /* XMM and YMM state */
}

int fc_cpu_has_avx512(void)
{
    const uint32_t f = BIT(16), dq = BIT(17), bw = BIT(30), vl = BIT(31);
    const uint32_t all = f | dq | bw | vl;
    return fc_cpu_has_avx2_fma() && (leaf7_features(0xe6) & all) == all; /* and mask, ZMM state */
}

#else

int fc_cpu_has_avx2_fma(void) { return 0; }
int fc_cpu_has_avx512(void) { return 0; }

#endif
