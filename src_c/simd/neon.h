/* NEON on arm64: 16-byte vectors, 32 registers. Names as in scalar.h. */
#include <arm_neon.h>
#include <string.h>

#include "../platform.h"

#define VEC_REGS 32
#define V_LATER 0
#define V_PART 0

FC_INLINE void v_stream_end(void) {} /* v_stream is a plain store */

FC_INLINE uint32_t within_16(const uint16_t *p, uint16_t from, uint16_t n)
{
    static const uint16_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t first = vdupq_n_u16(from), count = vdupq_n_u16(n), bit = vld1q_u16(bits);
    const uint16x8_t low = vcltq_u16(vsubq_u16(vld1q_u16(p), first), count);
    const uint16x8_t high = vcltq_u16(vsubq_u16(vld1q_u16(p + 8), first), count);
    return vaddvq_u16(vorrq_u16(vandq_u16(low, bit), vshlq_n_u16(vandq_u16(high, bit), 8)));
}

#if FC_BITS == 32

typedef float real;
typedef float32x4_t vec;
#define LANES 4

FC_INLINE vec v_set1(real x) { return vdupq_n_f32(x); }
FC_INLINE vec v_load(const real *p) { return vld1q_f32(p); }
FC_INLINE void v_store(real *p, vec v) { vst1q_f32(p, v); }
FC_INLINE void v_stream(real *p, vec v) { vst1q_f32(p, v); }
FC_INLINE vec v_load_half(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
FC_INLINE void v_store_half(uint16_t *p, vec v)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
FC_INLINE void v_store_8(uint8_t *p, const vec v[4])
{
    int16x4_t x[4];
    for (int i = 0; i < 4; i++)
        x[i] = vqmovn_s32(vcvtnq_s32_f32(v[i]));
    vst1q_u8(p, vcombine_u8(vqmovun_s16(vcombine_s16(x[0], x[1])),
                            vqmovun_s16(vcombine_s16(x[2], x[3]))));
}
FC_INLINE vec v_add(vec a, vec b) { return vaddq_f32(a, b); }
FC_INLINE vec v_sub(vec a, vec b) { return vsubq_f32(a, b); }
FC_INLINE vec v_mul(vec a, vec b) { return vmulq_f32(a, b); }
FC_INLINE vec v_div(vec a, vec b) { return vdivq_f32(a, b); }
FC_INLINE vec v_sqrt(vec x) { return vsqrtq_f32(x); }
FC_INLINE vec v_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
FC_INLINE vec v_max(vec acc, vec x)
{
    /* Not fmax: it would order the zeros and make every NaN the default one. */
    const uint32x4_t take = vorrq_u32(vcgtq_f32(x, acc), vmvnq_u32(vceqq_f32(x, x)));
    return vbslq_f32(take, x, acc);
}
FC_INLINE vec v_min(vec acc, vec x)
{
    const uint32x4_t take = vorrq_u32(vcltq_f32(x, acc), vmvnq_u32(vceqq_f32(x, x)));
    return vbslq_f32(take, x, acc);
}
FC_INLINE vec v_larger(vec acc, vec x) { return vbslq_f32(vcgtq_f32(x, acc), x, acc); }
FC_INLINE vec v_smaller(vec acc, vec x) { return vbslq_f32(vcltq_f32(x, acc), x, acc); }
FC_INLINE vec v_key(vec x)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t sign = vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_f32(x), 31));
    return vreinterpretq_f32_u32(veorq_u32(bits, vshrq_n_u32(sign, 1)));
}
FC_INLINE vec v_key_max(vec a, vec b)
{
    return vreinterpretq_f32_s32(vmaxq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)));
}
FC_INLINE vec v_key_min(vec a, vec b)
{
    return vreinterpretq_f32_s32(vminq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)));
}
FC_INLINE vec v_bits_max(vec a, vec b)
{
    return vreinterpretq_f32_u32(vmaxq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
FC_INLINE vec v_if_less(vec a, vec b, vec x, vec y) { return vbslq_f32(vcltq_f32(a, b), x, y); }
FC_INLINE vec v_abs(vec x) { return vabsq_f32(x); }
FC_INLINE vec v_copysign(vec x, vec sign)
{
    return vbslq_f32(vreinterpretq_u32_f32(vdupq_n_f32(-0.0f)), sign, x);
}
FC_INLINE vec v_pow2(vec n)
{
    const float32x4_t biased = vaddq_f32(n, vdupq_n_f32(0x1.8p23f + 127));
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(biased), 23));
}
FC_INLINE vec v_even(vec a, vec b) { return vuzp1q_f32(a, b); }
FC_INLINE vec v_odd(vec a, vec b) { return vuzp2q_f32(a, b); }
FC_INLINE vec v_zip_low(vec a, vec b) { return vzip1q_f32(a, b); }
FC_INLINE vec v_zip_high(vec a, vec b) { return vzip2q_f32(a, b); }
FC_INLINE vec v_shift_in(vec before, vec v) { return vextq_f32(before, v, 3); }

#elif FC_BITS == 64

typedef double real;
typedef float64x2_t vec;
#define LANES 2

FC_INLINE vec v_set1(real x) { return vdupq_n_f64(x); }
FC_INLINE vec v_load(const real *p) { return vld1q_f64(p); }
FC_INLINE void v_store(real *p, vec v) { vst1q_f64(p, v); }
FC_INLINE void v_stream(real *p, vec v) { vst1q_f64(p, v); }
FC_INLINE vec v_load_half(const uint16_t *p)
{
    uint32_t two;
    memcpy(&two, p, sizeof two);
    return vcvt_f64_f32(vget_low_f32(vcvt_f32_f16(vreinterpret_f16_u32(vdup_n_u32(two)))));
}
FC_INLINE vec v_load_float(const float *p) { return vcvt_f64_f32(vld1_f32(p)); }
FC_INLINE void v_store_float(float *p, vec v) { vst1_f32(p, vcvt_f32_f64(v)); }
FC_INLINE vec v_add(vec a, vec b) { return vaddq_f64(a, b); }
FC_INLINE vec v_sub(vec a, vec b) { return vsubq_f64(a, b); }
FC_INLINE vec v_mul(vec a, vec b) { return vmulq_f64(a, b); }
FC_INLINE vec v_div(vec a, vec b) { return vdivq_f64(a, b); }
FC_INLINE vec v_sqrt(vec x) { return vsqrtq_f64(x); }
FC_INLINE vec v_fma(vec a, vec b, vec c) { return vfmaq_f64(c, a, b); }
FC_INLINE vec v_max(vec acc, vec x)
{
    /* There is no 64-bit vmvn: where x is a number, take x if greater; a NaN is taken as it is. */
    return vbslq_f64(vceqq_f64(x, x), vbslq_f64(vcgtq_f64(x, acc), x, acc), x);
}
FC_INLINE vec v_min(vec acc, vec x)
{
    return vbslq_f64(vceqq_f64(x, x), vbslq_f64(vcltq_f64(x, acc), x, acc), x);
}
FC_INLINE vec v_larger(vec acc, vec x) { return vbslq_f64(vcgtq_f64(x, acc), x, acc); }
FC_INLINE vec v_smaller(vec acc, vec x) { return vbslq_f64(vcltq_f64(x, acc), x, acc); }
FC_INLINE vec v_if_less(vec a, vec b, vec x, vec y) { return vbslq_f64(vcltq_f64(a, b), x, y); }
FC_INLINE vec v_abs(vec x) { return vabsq_f64(x); }
FC_INLINE vec v_copysign(vec x, vec sign)
{
    return vbslq_f64(vreinterpretq_u64_f64(vdupq_n_f64(-0.0)), sign, x);
}
FC_INLINE vec v_pow2(vec n)
{
    const float64x2_t biased = vaddq_f64(n, vdupq_n_f64(0x1.8p52 + 1023));
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(biased), 52));
}
FC_INLINE vec v_even(vec a, vec b) { return vuzp1q_f64(a, b); }
FC_INLINE vec v_odd(vec a, vec b) { return vuzp2q_f64(a, b); }
FC_INLINE vec v_zip_low(vec a, vec b) { return vzip1q_f64(a, b); }
FC_INLINE vec v_zip_high(vec a, vec b) { return vzip2q_f64(a, b); }
FC_INLINE vec v_shift_in(vec before, vec v) { return vextq_f64(before, v, 1); }

#elif FC_BITS == 16

typedef uint16_t real;
typedef uint16x8_t vec;
#define LANES 8

FC_INLINE vec v_set1(real x) { return vdupq_n_u16(x); }
FC_INLINE vec v_load(const real *p) { return vld1q_u16(p); }
FC_INLINE void v_store(real *p, vec v) { vst1q_u16(p, v); }
FC_INLINE void v_stream(real *p, vec v) { vst1q_u16(p, v); }
FC_INLINE vec v_larger(vec acc, vec x) { return vmaxq_u16(acc, x); }
FC_INLINE vec v_smaller(vec acc, vec x) { return vminq_u16(acc, x); }

#else

typedef uint8_t real;
typedef uint8x16_t vec;
#define LANES 16

FC_INLINE vec v_set1(real x) { return vdupq_n_u8(x); }
FC_INLINE vec v_load(const real *p) { return vld1q_u8(p); }
FC_INLINE void v_store(real *p, vec v) { vst1q_u8(p, v); }
FC_INLINE void v_stream(real *p, vec v) { vst1q_u8(p, v); }
FC_INLINE vec v_max(vec acc, vec x) { return vmaxq_u8(acc, x); }
FC_INLINE vec v_min(vec acc, vec x) { return vminq_u8(acc, x); }
FC_INLINE vec v_larger(vec acc, vec x) { return v_max(acc, x); }
FC_INLINE vec v_smaller(vec acc, vec x) { return v_min(acc, x); }
FC_INLINE vec v_flip(vec v) { return veorq_u8(v, vdupq_n_u8(128)); }
FC_INLINE vec v_even(vec a, vec b) { return vuzp1q_u8(a, b); }
FC_INLINE vec v_odd(vec a, vec b) { return vuzp2q_u8(a, b); }

/* 16-bit integers, two vectors of them for one of uint8. */
typedef int16x8_t wide;
#define WIDE_LANES 8

FC_INLINE wide wide_set1(int x) { return vdupq_n_s16((int16_t)x); }
FC_INLINE wide wide_load(const uint8_t *p) { return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p))); }
FC_INLINE wide wide_load_16(const int16_t *p) { return vld1q_s16(p); }
FC_INLINE void wide_store(int16_t *p, wide v) { vst1q_s16(p, v); }
FC_INLINE void wide_store_8(uint8_t *p, wide v) { vst1_u8(p, vqmovun_s16(v)); }
FC_INLINE wide wide_add(wide a, wide b) { return vaddq_s16(a, b); }
FC_INLINE wide wide_sub(wide a, wide b) { return vsubq_s16(a, b); }
FC_INLINE wide wide_mul(wide a, wide b) { return vmulq_s16(a, b); }
FC_INLINE wide wide_mul_high(wide a, wide b)
{
    const uint16x8_t x = vreinterpretq_u16_s16(a), y = vreinterpretq_u16_s16(b);
    const uint16x8_t low = vreinterpretq_u16_u32(vmull_u16(vget_low_u16(x), vget_low_u16(y)));
    const uint16x8_t high = vreinterpretq_u16_u32(vmull_high_u16(x, y));
    return vreinterpretq_s16_u16(vuzp2q_u16(low, high));
}
FC_INLINE wide wide_shift(wide a, int n)
{
    return vreinterpretq_s16_u16(vshlq_u16(vreinterpretq_u16_s16(a), vdupq_n_s16((int16_t)-n)));
}
FC_INLINE wide wide_and(wide a, wide b) { return vandq_s16(a, b); }

/* 32-bit integers. */
typedef int32x4_t sum;
#define SUM_LANES 4

FC_INLINE sum sum_set1(int32_t x) { return vdupq_n_s32(x); }
FC_INLINE sum sum_load(const int32_t *p) { return vld1q_s32(p); }
FC_INLINE void sum_store(int32_t *p, sum v) { vst1q_s32(p, v); }
FC_INLINE void sum_store_8(uint8_t *p, sum v)
{
    const uint8x16_t bytes = vreinterpretq_u8_s32(v), pairs = vuzp1q_u8(bytes, bytes);
    vst1q_lane_u32((uint32_t *)(void *)p, vreinterpretq_u32_u8(vuzp1q_u8(pairs, pairs)), 0);
}
FC_INLINE sum sum_split_8(sum v)
{
    static const uint8_t order[] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(v), vld1q_u8(order)));
}
FC_INLINE sum sum_join_8(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d)
{
    int32_t lines[4];
    memcpy(lines, a, 4);
    memcpy(lines + 1, b, 4);
    memcpy(lines + 2, c, 4);
    memcpy(lines + 3, d, 4);
    return sum_split_8(vld1q_s32(lines)); /* its own inverse */
}
FC_INLINE sum sum_even(sum a, sum b) { return vuzp1q_s32(a, b); }
FC_INLINE sum sum_odd(sum a, sum b) { return vuzp2q_s32(a, b); }
FC_INLINE sum sum_add(sum a, sum b) { return vaddq_s32(a, b); }
FC_INLINE sum sum_sub(sum a, sum b) { return vsubq_s32(a, b); }
FC_INLINE sum sum_mul(sum a, sum b) { return vmulq_s32(a, b); }
FC_INLINE sum sum_dot(sum acc, sum a, sum b)
{
    const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vaddq_s32(acc, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)),
                                     vmull_high_s16(x, y)));
}
FC_INLINE sum sum_real(sum v, sum scale)
{
    return vreinterpretq_s32_f32(vmulq_f32(vcvtq_f32_s32(v), vreinterpretq_f32_s32(scale)));
}
FC_INLINE sum sum_round(sum v, sum scale, float low, float high)
{
    const float32x4_t x = vmaxq_f32(vreinterpretq_f32_s32(sum_real(v, scale)), vdupq_n_f32(low));
    return vcvtnq_s32_f32(vminq_f32(x, vdupq_n_f32(high)));
}

#endif

FC_INLINE vec v_load_n(const real *p, ptrdiff_t n)
{
    real lanes[LANES] = {0};
    memcpy(lanes, p, (size_t)n * sizeof(real));
    return v_load(lanes);
}
FC_INLINE void v_store_n(real *p, vec v, ptrdiff_t n)
{
    real lanes[LANES];
    v_store(lanes, v);
    memcpy(p, lanes, (size_t)n * sizeof(real));
}
