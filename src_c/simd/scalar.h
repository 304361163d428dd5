/* One lane: the fallback on any processor, and the definition that every other ISA must match.
 *
 * The names that each simd header gives, for FC_BITS 32, 64 and (those marked *) 8; for 16 what its
 * few kernels take, from real to v_store, v_larger, v_smaller, v_later and within_16:
 *   real*, vec*, LANES*, VEC_REGS*       element, vector, its length, how many registers there are
 *   v_set1* v_load* v_store*             broadcast, unaligned load and store
 *   v_load_n* v_store_n*                 the first n lanes, 0 < n < LANES; the rest loads as 0
 *   v_max* v_min*(acc, x)                x where x > acc (x < acc) or x is NaN, else acc
 *   v_larger* v_smaller*(acc, x)         x where x > acc (x < acc), else (a NaN in either) acc
 *   v_key(x)                             for 32 alone: the float as an integer of the same order, -0 below
 *                                        0, and back; v_key_max v_key_min(a, b) compare such integers
 *   v_bits_max(a, b)                     for 32 alone: the larger of their bits, as unsigned integers
 *   wide, WIDE_LANES, wide_*             for 8 alone: 16-bit integers that uint8 widens to, and narrows
 *                                        to, saturated (wide_store_8); modulo 2**16, and without a
 *                                        sign in wide_mul_high (of the product, the upper half) and
 *                                        wide_shift (to the right)
 *   v_flip(v)                            for 8 alone: each byte's top bit the other way round
 *   sum, SUM_LANES, sum_*                for 8 alone: int32, modulo 2**32; sum_dot(acc, a, b) adds the
 *                                        products of pairs of int16; sum_real(v, scale) is the float
 *                                        v * scale (of a scale's bits), sum_round the same clipped and
 *                                        rounded half to even; sum_store_8 stores the low bytes;
 *                                        sum_join_8(a, b, c, d) makes words of the bytes of four lines,
 *                                        sum_split_8(v) lines of words; sum_even and sum_odd as v_*
 *   sum_dot4, sum_later_8, sum_below,    for 8 alone, where SUM_DOT4 is 1: sum_dot4(acc, a, b) adds
 *   sum_store_pair_8                     products of fours of bytes, those of b with a sign;
 *                                        sum_later_8(a, b) is the last byte of a's words, then all but
 *                                        the last of b's; sum_below(v, scale, high) is sum_round without
 *                                        the lower limit; sum_store_pair_8(p, a, b, low, zero) stores the
 *                                        low bytes of both, at least low, plus zero: limits of 16 bits
 *   v_even* v_odd*(a, b)                 elements 0, 2, 4, ... (1, 3, 5, ...) of a followed by b
 *   v_zip_low v_zip_high(a, b)           the halves of a0 b0 a1 b1 a2 b2 ...
 *   v_part(a, b, v_places_from(n))       elements n, n + 1, ... of a followed by b, n <= LANES: where V_PART
 *                                        is 1, and that is faster than a load across two cache lines
 *   v_later*(a, b, n)                    elements n, n + 1, ... of a followed by b, for an n from 1 to 7 that
 *                                        is known when compiled: where V_LATER is 1
 *   v_shift_in(before, v)                the last element of before, then all but the last of v
 *   within_16*(p, from, n)               bit i of 16: is p[i] - from, modulo 2**16, less than n?
 *   v_add v_sub v_mul v_div              as the operators
 *   v_sqrt(x)                            the square root, rounded once
 *   v_fma(a, b, c)                       a * b + c, rounded once
 *   v_abs(x) v_copysign(x, sign)         of a NaN too
 *   v_if_less(a, b, x, y)                x where a < b, else (a NaN in either) y
 *   v_pow2(n)                            2**n of a whole n whose power is normal; of a NaN anything
 *   v_load_half(p)                       of float16, exact
 *   v_store_half(p, v)                   to float16, rounded half to even; for 32 alone
 *   v_store_8(p, v)                      of four vectors, rounded half to even and saturated, to uint8; 0
 *                                        of a NaN; for 32 alone
 *   v_load_float(p) v_store_float(p, v)  of float, exact, and rounded to it; for 64 alone
 *   v_stream(p, v) v_stream_end()        store past the caches, p aligned to the vector; and what to
 *                                        call after the last of them
 */
#include <math.h>
#include <string.h>

#include "../platform.h"

/* Loops instead of unrolled tiles (and few sizes of them): small code, which is what this variant is
 * taken for. */
#undef FC_UNROLL
#define FC_UNROLL
#if defined(FC_X86) || defined(FC_ARM64) /* where others are the fast ones */
#undef FC_INLINE
#define FC_INLINE FC_INLINE_OR_NOT
#endif
#undef FC_KEEP
#define FC_KEEP(number) ((void)(number))

#define LANES 1
#define VEC_REGS 16
#define V_LATER 0
#define V_PART 0

FC_INLINE uint32_t within_16(const uint16_t *p, uint16_t from, uint16_t n)
{
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++)
        bits |= (uint32_t)((uint16_t)(p[i] - from) < n) << i;
    return bits;
}

#if FC_BITS == 32
typedef float real;
FC_INLINE real v_fma(real a, real b, real c) { return fmaf(a, b, c); }
FC_INLINE real v_sqrt(real x) { return sqrtf(x); }
FC_INLINE real v_abs(real x) { return fabsf(x); }
FC_INLINE real v_copysign(real x, real sign) { return copysignf(x, sign); }
/* Adding 1.5 * 2**23 leaves a whole number in the low bits; the shift drops all but the exponent. */
FC_INLINE real v_pow2(real n)
{
    real x = n + (0x1.8p23f + 127);
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits <<= 23;
    memcpy(&x, &bits, sizeof bits);
    return x;
}
FC_INLINE int32_t v_key_bits(real x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
FC_INLINE real v_key(real x)
{
    const int32_t bits = v_key_bits(x), key = bits < 0 ? bits ^ INT32_MAX : bits;
    memcpy(&x, &key, sizeof x);
    return x;
}
FC_INLINE real v_key_max(real a, real b) { return v_key_bits(a) > v_key_bits(b) ? a : b; }
FC_INLINE real v_key_min(real a, real b) { return v_key_bits(a) < v_key_bits(b) ? a : b; }
FC_INLINE real v_bits_max(real a, real b)
{
    return (uint32_t)v_key_bits(a) > (uint32_t)v_key_bits(b) ? a : b;
}
#elif FC_BITS == 64
typedef double real;
FC_INLINE real v_load_float(const float *p) { return *p; }
FC_INLINE void v_store_float(float *p, real v) { *p = (float)v; }
FC_INLINE real v_fma(real a, real b, real c) { return fma(a, b, c); }
FC_INLINE real v_sqrt(real x) { return sqrt(x); }
FC_INLINE real v_abs(real x) { return fabs(x); }
FC_INLINE real v_copysign(real x, real sign) { return copysign(x, sign); }
FC_INLINE real v_pow2(real n)
{
    real x = n + (0x1.8p52 + 1023);
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits <<= 52;
    memcpy(&x, &bits, sizeof bits);
    return x;
}
#elif FC_BITS == 16
typedef uint16_t real;
#else
typedef uint8_t real;
#endif
typedef real vec;

#if FC_BITS >= 32
#include "half.h"
FC_INLINE vec v_load_half(const uint16_t *p) { return real_from_half(*p); }
FC_INLINE void v_store_half(uint16_t *p, vec v) { *p = half_from_real(v); }
FC_INLINE void v_store_8(uint8_t *p, const vec v[4])
{
    for (int i = 0; i < 4; i++) {
        const real raised = v[i] > 0 ? v[i] : 0;
        p[i] = (uint8_t)rintf(raised < UINT8_MAX ? raised : UINT8_MAX);
    }
}
#endif

FC_INLINE vec v_set1(real x) { return x; }
FC_INLINE vec v_larger(vec acc, vec x) { return x > acc ? x : acc; }
FC_INLINE vec v_smaller(vec acc, vec x) { return x < acc ? x : acc; }
FC_INLINE vec v_load(const real *p) { return *p; }
FC_INLINE void v_store(real *p, vec v) { *p = v; }
FC_INLINE void v_stream(real *p, vec v) { *p = v; }
FC_INLINE void v_stream_end(void) {}
FC_INLINE vec v_even(vec a, vec b) { (void)b; return a; }
FC_INLINE vec v_odd(vec a, vec b) { (void)a; return b; }

/* With one lane no n lies between 0 and LANES: these are named and never reached. */
FC_INLINE vec v_load_n(const real *p, ptrdiff_t n) { (void)n; return *p; }
FC_INLINE void v_store_n(real *p, vec v, ptrdiff_t n) { (void)n; *p = v; }

#if FC_BITS == 8
typedef int16_t wide;
#define WIDE_LANES 1
FC_INLINE wide wide_set1(int x) { return (wide)x; }
FC_INLINE wide wide_load(const uint8_t *p) { return *p; }
FC_INLINE wide wide_load_16(const int16_t *p) { return *p; }
FC_INLINE void wide_store(int16_t *p, wide v) { *p = v; }
FC_INLINE void wide_store_8(uint8_t *p, wide v) { *p = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }
FC_INLINE wide wide_add(wide a, wide b) { return (wide)(a + b); }
FC_INLINE wide wide_sub(wide a, wide b) { return (wide)(a - b); }
FC_INLINE wide wide_mul(wide a, wide b) { return (wide)(a * b); }
FC_INLINE wide wide_mul_high(wide a, wide b)
{
    return (wide)((uint32_t)(uint16_t)a * (uint16_t)b >> 16);
}
FC_INLINE wide wide_shift(wide a, int n) { return (wide)((uint16_t)a >> n); }
FC_INLINE wide wide_and(wide a, wide b) { return (wide)(a & b); }
FC_INLINE vec v_max(vec acc, vec x) { return x > acc ? x : acc; }
FC_INLINE vec v_min(vec acc, vec x) { return x < acc ? x : acc; }
FC_INLINE vec v_flip(vec v) { return v ^ 128; }

typedef uint32_t sum; /* whose overflow is defined */
#define SUM_LANES 1
FC_INLINE sum sum_set1(int32_t x) { return (sum)x; }
FC_INLINE sum sum_load(const int32_t *p) /* unaligned, too */
{
    sum v;
    memcpy(&v, p, sizeof v);
    return v;
}
FC_INLINE void sum_store(int32_t *p, sum v) { memcpy(p, &v, sizeof v); }
FC_INLINE void sum_store_8(uint8_t *p, sum v) { *p = (uint8_t)v; }
FC_INLINE sum sum_join_8(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d)
{
    const uint8_t bytes[] = {*a, *b, *c, *d};
    sum v;
    memcpy(&v, bytes, sizeof v);
    return v;
}
FC_INLINE sum sum_split_8(sum v) { return v; }
FC_INLINE sum sum_even(sum a, sum b) { (void)b; return a; }
FC_INLINE sum sum_odd(sum a, sum b) { (void)a; return b; }
FC_INLINE sum sum_add(sum a, sum b) { return a + b; }
FC_INLINE sum sum_sub(sum a, sum b) { return a - b; }
FC_INLINE sum sum_mul(sum a, sum b) { return a * b; }
FC_INLINE sum sum_dot(sum acc, sum a, sum b)
{
    const int32_t low = (int16_t)a * (int16_t)b, high = (int16_t)(a >> 16) * (int16_t)(b >> 16);
    return acc + (sum)low + (sum)high;
}
FC_INLINE float sum_scaled(sum v, sum scale)
{
    float factor;
    memcpy(&factor, &scale, sizeof factor);
    return (float)(int32_t)v * factor;
}
FC_INLINE sum sum_real(sum v, sum scale)
{
    const float x = sum_scaled(v, scale);
    memcpy(&v, &x, sizeof v);
    return v;
}
FC_INLINE sum sum_round(sum v, sum scale, float low, float high)
{
    const float x = sum_scaled(v, scale);
    return (sum)(int32_t)lrintf(x < low ? low : x > high ? high : x);
}
#elif FC_BITS >= 32
FC_INLINE vec v_max(vec acc, vec x) { return x > acc || isnan(x) ? x : acc; }
FC_INLINE vec v_min(vec acc, vec x) { return x < acc || isnan(x) ? x : acc; }
FC_INLINE vec v_if_less(vec a, vec b, vec x, vec y) { return a < b ? x : y; }
FC_INLINE vec v_add(vec a, vec b) { return a + b; }
FC_INLINE vec v_sub(vec a, vec b) { return a - b; }
FC_INLINE vec v_mul(vec a, vec b) { return a * b; }
FC_INLINE vec v_div(vec a, vec b) { return a / b; }
FC_INLINE vec v_zip_low(vec a, vec b) { (void)b; return a; }
FC_INLINE vec v_zip_high(vec a, vec b) { (void)a; return b; }
FC_INLINE vec v_shift_in(vec before, vec v) { (void)v; return before; }
#endif
