/* Every difference between compilers and processors, and nothing else. */
#ifndef FC_PLATFORM_H
#define FC_PLATFORM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#define FC_X86 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define FC_ARM64 1
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define FC_INLINE static __forceinline
#define FC_INLINE_OR_NOT static __inline
#define FC_NOINLINE static __declspec(noinline)
#define FC_SMALL FC_NOINLINE
#define FC_UNROLL
#else
#define FC_INLINE static inline __attribute__((always_inline, unused))
#define FC_INLINE_OR_NOT static inline __attribute__((unused))
#define FC_NOINLINE static __attribute__((noinline, unused))
/* Compiled for size, and so is what calls it whatever happens. */
#define FC_SMALL static __attribute__((noinline, unused, cold))
/* Register tiles are arrays; only full unrolling turns them into registers. */
#if defined(__clang__)
#define FC_UNROLL _Pragma("unroll")
#else
#define FC_UNROLL _Pragma("GCC unroll 32")
#endif
#endif

/* A loaded vector stays in its register; compilers like to load it again for each use instead. */
#if defined(__GNUC__) && defined(FC_X86)
#define FC_KEEP(vector) __asm__("" : "+v"(vector))
#else
#define FC_KEEP(vector) ((void)(vector))
#endif

/* A function for processors with AVX-512 VNNI alone (fc_cpu_has_vnni). */
#if defined(__GNUC__) && defined(FC_X86)
#define FC_VNNI __attribute__((target("avx512vnni")))
#else
#define FC_VNNI
#endif

/* Exchange a pointer atomically and return the old value. */
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define FC_EXCHANGE_POINTER(location, value) _InterlockedExchangePointer((location), (value))
#else
#define FC_EXCHANGE_POINTER(location, value) \
    __atomic_exchange_n((location), (value), __ATOMIC_ACQ_REL)
#endif

/* Hints, to read in the L1 cache and in the L2 cache, and to write; any address is allowed. */
#if defined(_MSC_VER) && !defined(__clang__)
#define FC_PREFETCH(address) ((void)(address))
#define FC_PREFETCH_L2(address) ((void)(address))
#define FC_PREFETCH_WRITE(address) ((void)(address))
#else
#define FC_PREFETCH(address) __builtin_prefetch(address)
#define FC_PREFETCH_L2(address) __builtin_prefetch(address, 0, 2)
#define FC_PREFETCH_WRITE(address) __builtin_prefetch(address, 1)
#endif

/* A function that may be missing at run time, and one that runs when the library is loaded. */
#if !defined(_MSC_VER) || defined(__clang__)
#define FC_WEAK __attribute__((weak))
#define FC_AT_LOAD __attribute__((constructor))
#endif

/* Older versions of this compiler fuse multiply and add on their own. */
#if defined(_MSC_VER) && !defined(__clang__)
#pragma fp_contract(off)
#endif

#if defined(__SANITIZE_ADDRESS__)
#define FC_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FC_ADDRESS_SANITIZER 1
#endif
#endif

#define FC_MIN(a, b) ((a) < (b) ? (a) : (b))
#define FC_MAX(a, b) ((a) > (b) ? (a) : (b))

FC_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

#endif
