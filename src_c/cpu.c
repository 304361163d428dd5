/* What this processor and its operating system can run, and the size of its L2 cache. arm64 needs no
 * question: NEON is part of it. */
#include "fastconv.h"
#include "platform.h"

#ifdef FC_X86

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static void cpuid_part(uint32_t leaf, uint32_t part, uint32_t reg[4])
{
    __cpuidex((int *)reg, (int)leaf, (int)part);
}
static uint64_t xgetbv(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid_part(uint32_t leaf, uint32_t part, uint32_t reg[4])
{
    __cpuid_count(leaf, part, reg[0], reg[1], reg[2], reg[3]);
}
static uint64_t xgetbv(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#endif

static void cpuid(uint32_t leaf, uint32_t reg[4]) { cpuid_part(leaf, 0, reg); }

enum { EAX, EBX, ECX, EDX };
#define BIT(n) ((uint32_t)1 << (n))

/* A register of leaf 7's feature bits, given the register state that the system saves (Intel SDM
 * 13.3, 15.2): without it in XCR0 an instruction traps, whatever the processor says of itself. */
static uint32_t leaf7_features(uint64_t state, int which)
{
    uint32_t reg[4];
    const uint32_t osxsave = BIT(27), avx = BIT(28), fma = BIT(12), f16c = BIT(29);
    const uint32_t all = osxsave | avx | fma | f16c;
    cpuid(0, reg);
    if (reg[EAX] < 7)
        return 0;
    cpuid(1, reg);
    if ((reg[ECX] & all) != all || (xgetbv() & state) != state)
        return 0;
    cpuid(7, reg);
    return reg[which];
}

int fc_cpu_has_avx2(void)
{
    return (leaf7_features(0x06, EBX) & BIT(5)) != 0; /* XMM and YMM state */
}

int fc_cpu_has_avx512(void)
{
    const uint32_t f = BIT(16), dq = BIT(17), bw = BIT(30), vl = BIT(31);
    const uint32_t all = f | dq | bw | vl;
    return fc_cpu_has_avx2() && (leaf7_features(0xe6, EBX) & all) == all; /* and mask, ZMM state */
}

int fc_cpu_has_vnni(void)
{
    return fc_cpu_has_avx512() && (leaf7_features(0xe6, ECX) & BIT(11)) != 0;
}

/* The level 2 cache among those that a leaf lists (Intel SDM, CPUID leaf 4; AMD APM 3, leaf
 * 8000_001D, in the same form). */
static size_t l2_of_leaf(uint32_t leaf)
{
    uint32_t reg[4];
    for (uint32_t part = 0; part < 16; part++) {
        cpuid_part(leaf, part, reg);
        if ((reg[EAX] & 31) == 0) /* no more caches */
            break;
        if ((reg[EAX] >> 5 & 7) == 2)
            return ((size_t)(reg[EBX] >> 22) + 1) * ((reg[EBX] >> 12 & 1023) + 1) *
                   ((reg[EBX] & 4095) + 1) * ((size_t)reg[ECX] + 1);
    }
    return 0;
}

size_t fc_cpu_l2_bytes(void)
{
    uint32_t reg[4];
    size_t size = 0;
    cpuid(0, reg);
    if (reg[EAX] >= 4)
        size = l2_of_leaf(4);
    cpuid(0x80000000, reg);
    if (!size && reg[EAX] >= 0x8000001d)
        size = l2_of_leaf(0x8000001d);
    return size;
}

#else

int fc_cpu_has_avx2(void) { return 0; }
int fc_cpu_has_avx512(void) { return 0; }
int fc_cpu_has_vnni(void) { return 0; }
size_t fc_cpu_l2_bytes(void) { return 0; }

#endif
