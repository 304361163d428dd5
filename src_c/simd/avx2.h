/* AVX2 with FMA and F16C: 32-byte vectors, 16 registers. Names as in scalar.h. */
#include <immintrin.h>
#include <string.h>

#include "../platform.h"

#define VEC_REGS 16
#define V_PART 0
#define V_LATER (FC_BITS != 64)

/* Bytes n to n + 31 of a followed by b; alignr works within 128-bit lanes. */
FC_INLINE __m256i later_bytes(__m256i a, __m256i b, const int n)
{
    const __m256i between = _mm256_permute2x128_si256(a, b, 0x21);
#define LATER(n) \
    case n: return n < 16 ? _mm256_alignr_epi8(between, a, n % 16) : _mm256_alignr_epi8(b, between, n % 16)
    switch (n) {
        LATER(1); LATER(2); LATER(3); LATER(4); LATER(5); LATER(6); LATER(7);
        LATER(8); LATER(10); LATER(12); LATER(14); LATER(16); LATER(20); LATER(24);
    default:
        LATER(28);
    }
#undef LATER
}

FC_INLINE void v_stream_end(void) { _mm_sfence(); }

FC_INLINE uint32_t within_16(const uint16_t *p, uint16_t from, uint16_t n)
{
    const __m256i x = _mm256_sub_epi16(_mm256_loadu_si256((const __m256i *)p),
                                       _mm256_set1_epi16((short)from));
    const __m256i least = _mm256_min_epu16(x, _mm256_set1_epi16((short)n));
    const __m256i not_less = _mm256_cmpeq_epi16(least, _mm256_set1_epi16((short)n));
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(not_less),
                                          _mm256_extracti128_si256(not_less, 1));
    return ~(uint32_t)_mm_movemask_epi8(bytes) & 0xffff;
}

#if FC_BITS >= 32
/* All ones in the first n lanes: a window into ones followed by zeros. */
FC_INLINE __m256i v_first(ptrdiff_t n)
{
    static const int32_t ones_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ones_zeros + 8 - n * (FC_BITS / 32)));
}
#endif

#if FC_BITS == 32

typedef float real;
typedef __m256 vec;
#define LANES 8

FC_INLINE vec v_set1(real x) { return _mm256_set1_ps(x); }
FC_INLINE vec v_load(const real *p) { return _mm256_loadu_ps(p); }
FC_INLINE void v_store(real *p, vec v) { _mm256_storeu_ps(p, v); }
FC_INLINE void v_stream(real *p, vec v) { _mm256_stream_ps(p, v); }
FC_INLINE vec v_load_n(const real *p, ptrdiff_t n) { return _mm256_maskload_ps(p, v_first(n)); }
FC_INLINE void v_store_n(real *p, vec v, ptrdiff_t n) { _mm256_maskstore_ps(p, v_first(n), v); }
FC_INLINE vec v_load_half(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
FC_INLINE void v_store_half(uint16_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
FC_INLINE void v_store_8(uint8_t *p, const vec v[4])
{
    __m256i x[4];
    FC_UNROLL for (int i = 0; i < 4; i++) /* vminps gives its second operand for a NaN: INT_MIN then */
        x[i] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(UINT8_MAX), v[i]));
    const __m256i low = _mm256_packs_epi32(x[0], x[1]), high = _mm256_packs_epi32(x[2], x[3]);
    _mm256_storeu_si256((__m256i *)p,
                        _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
FC_INLINE vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
FC_INLINE vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
FC_INLINE vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
FC_INLINE vec v_div(vec a, vec b) { return _mm256_div_ps(a, b); }
FC_INLINE vec v_sqrt(vec x) { return _mm256_sqrt_ps(x); }
FC_INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
FC_INLINE vec v_max(vec acc, vec x)
{
    /* vmaxps gives its second operand for a NaN in either. */
    return _mm256_blendv_ps(_mm256_max_ps(x, acc), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
FC_INLINE vec v_min(vec acc, vec x)
{
    return _mm256_blendv_ps(_mm256_min_ps(x, acc), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
FC_INLINE vec v_larger(vec acc, vec x) { return _mm256_max_ps(x, acc); }
FC_INLINE vec v_smaller(vec acc, vec x) { return _mm256_min_ps(x, acc); }
FC_INLINE vec v_key(vec x)
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i flipped = _mm256_srli_epi32(_mm256_srai_epi32(bits, 31), 1);
    return _mm256_castsi256_ps(_mm256_xor_si256(bits, flipped));
}
FC_INLINE vec v_key_max(vec a, vec b)
{
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
FC_INLINE vec v_key_min(vec a, vec b)
{
    return _mm256_castsi256_ps(_mm256_min_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
FC_INLINE vec v_bits_max(vec a, vec b)
{
    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
FC_INLINE vec v_if_less(vec a, vec b, vec x, vec y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
FC_INLINE vec v_abs(vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
FC_INLINE vec v_copysign(vec x, vec sign)
{
    return _mm256_or_ps(v_abs(x), _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
}
FC_INLINE vec v_pow2(vec n)
{
    const __m256i biased = _mm256_castps_si256(_mm256_add_ps(n, _mm256_set1_ps(0x1.8p23f + 127)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
/* shuffle works within 128-bit lanes and leaves the quadwords as a0 b0 a1 b1. */
FC_INLINE vec v_in_order(vec mixed)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}
FC_INLINE vec v_even(vec a, vec b) { return v_in_order(_mm256_shuffle_ps(a, b, 0x88)); }
FC_INLINE vec v_odd(vec a, vec b) { return v_in_order(_mm256_shuffle_ps(a, b, 0xdd)); }
/* unpack works within 128-bit lanes: their halves are put together after it. */
FC_INLINE vec v_zip_low(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}
FC_INLINE vec v_zip_high(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}
FC_INLINE vec v_later(vec a, vec b, const int n)
{
    return _mm256_castsi256_ps(
        later_bytes(_mm256_castps_si256(a), _mm256_castps_si256(b), n * (int)sizeof(real)));
}
FC_INLINE vec v_shift_in(vec before, vec v)
{
    const __m256i low = _mm256_castps_si256(_mm256_permute2f128_ps(before, v, 0x21));
    return _mm256_castsi256_ps(_mm256_alignr_epi8(_mm256_castps_si256(v), low, 12));
}

#elif FC_BITS == 64

typedef double real;
typedef __m256d vec;
#define LANES 4

FC_INLINE vec v_set1(real x) { return _mm256_set1_pd(x); }
FC_INLINE vec v_load(const real *p) { return _mm256_loadu_pd(p); }
FC_INLINE void v_store(real *p, vec v) { _mm256_storeu_pd(p, v); }
FC_INLINE void v_stream(real *p, vec v) { _mm256_stream_pd(p, v); }
FC_INLINE vec v_load_n(const real *p, ptrdiff_t n) { return _mm256_maskload_pd(p, v_first(n)); }
FC_INLINE void v_store_n(real *p, vec v, ptrdiff_t n) { _mm256_maskstore_pd(p, v_first(n), v); }
FC_INLINE vec v_load_half(const uint16_t *p)
{
    return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)p)));
}
FC_INLINE vec v_load_float(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
FC_INLINE void v_store_float(float *p, vec v) { _mm_storeu_ps(p, _mm256_cvtpd_ps(v)); }
FC_INLINE vec v_add(vec a, vec b) { return _mm256_add_pd(a, b); }
FC_INLINE vec v_sub(vec a, vec b) { return _mm256_sub_pd(a, b); }
FC_INLINE vec v_mul(vec a, vec b) { return _mm256_mul_pd(a, b); }
FC_INLINE vec v_div(vec a, vec b) { return _mm256_div_pd(a, b); }
FC_INLINE vec v_sqrt(vec x) { return _mm256_sqrt_pd(x); }
FC_INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
FC_INLINE vec v_max(vec acc, vec x)
{
    return _mm256_blendv_pd(_mm256_max_pd(x, acc), x, _mm256_cmp_pd(x, x, _CMP_UNORD_Q));
}
FC_INLINE vec v_min(vec acc, vec x)
{
    return _mm256_blendv_pd(_mm256_min_pd(x, acc), x, _mm256_cmp_pd(x, x, _CMP_UNORD_Q));
}
FC_INLINE vec v_larger(vec acc, vec x) { return _mm256_max_pd(x, acc); }
FC_INLINE vec v_smaller(vec acc, vec x) { return _mm256_min_pd(x, acc); }
FC_INLINE vec v_if_less(vec a, vec b, vec x, vec y)
{
    return _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_LT_OQ));
}
FC_INLINE vec v_abs(vec x) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x); }
FC_INLINE vec v_copysign(vec x, vec sign)
{
    return _mm256_or_pd(v_abs(x), _mm256_and_pd(_mm256_set1_pd(-0.0), sign));
}
FC_INLINE vec v_pow2(vec n)
{
    const __m256i biased = _mm256_castpd_si256(_mm256_add_pd(n, _mm256_set1_pd(0x1.8p52 + 1023)));
    return _mm256_castsi256_pd(_mm256_slli_epi64(biased, 52));
}
FC_INLINE vec v_even(vec a, vec b)
{
    return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xd8);
}
FC_INLINE vec v_odd(vec a, vec b)
{
    return _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), 0xd8);
}
FC_INLINE vec v_zip_low(vec a, vec b)
{
    return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x20);
}
FC_INLINE vec v_zip_high(vec a, vec b)
{
    return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x31);
}
FC_INLINE vec v_shift_in(vec before, vec v)
{
    return _mm256_shuffle_pd(_mm256_permute2f128_pd(before, v, 0x21), v, 0x5);
}

#else

#if FC_BITS == 8
typedef uint8_t real;
#else
typedef uint16_t real;
#endif
typedef __m256i vec;
#define LANES (256 / FC_BITS)

FC_INLINE vec v_load(const real *p) { return _mm256_loadu_si256((const __m256i *)p); }
FC_INLINE void v_stream(real *p, vec v) { _mm256_stream_si256((__m256i *)(void *)p, v); }
FC_INLINE void v_store(real *p, vec v) { _mm256_storeu_si256((__m256i *)p, v); }
FC_INLINE vec v_later(vec a, vec b, const int n) { return later_bytes(a, b, n * (FC_BITS / 8)); }

#endif

#if FC_BITS == 16

FC_INLINE vec v_set1(real x) { return _mm256_set1_epi16((short)x); }
FC_INLINE vec v_larger(vec acc, vec x) { return _mm256_max_epu16(acc, x); }
FC_INLINE vec v_smaller(vec acc, vec x) { return _mm256_min_epu16(acc, x); }

#elif FC_BITS == 8

FC_INLINE vec v_set1(real x) { return _mm256_set1_epi8((char)x); }
FC_INLINE vec v_load_n(const real *p, ptrdiff_t n)
{
    real lanes[LANES] = {0};
    memcpy(lanes, p, (size_t)n);
    return v_load(lanes);
}
FC_INLINE void v_store_n(real *p, vec v, ptrdiff_t n)
{
    real lanes[LANES];
    v_store(lanes, v);
    memcpy(p, lanes, (size_t)n);
}
FC_INLINE vec v_max(vec acc, vec x) { return _mm256_max_epu8(acc, x); }
FC_INLINE vec v_min(vec acc, vec x) { return _mm256_min_epu8(acc, x); }
FC_INLINE vec v_larger(vec acc, vec x) { return v_max(acc, x); }
FC_INLINE vec v_smaller(vec acc, vec x) { return v_min(acc, x); }
FC_INLINE vec v_flip(vec v) { return _mm256_xor_si256(v, _mm256_set1_epi8(-128)); }
FC_INLINE vec v_pack(vec a, vec b)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
}
FC_INLINE vec v_even(vec a, vec b)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    return v_pack(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
}
FC_INLINE vec v_odd(vec a, vec b)
{
    return v_pack(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8));
}

/* 16-bit integers, two vectors of them for one of uint8. */
typedef __m256i wide;
#define WIDE_LANES 16

FC_INLINE wide wide_set1(int x) { return _mm256_set1_epi16((short)x); }
FC_INLINE wide wide_load(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}
FC_INLINE wide wide_load_16(const int16_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
FC_INLINE void wide_store(int16_t *p, wide v) { _mm256_storeu_si256((__m256i *)p, v); }
FC_INLINE void wide_store_8(uint8_t *p, wide v)
{
    const __m128i high = _mm256_extracti128_si256(v, 1);
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi16(_mm256_castsi256_si128(v), high));
}
FC_INLINE wide wide_add(wide a, wide b) { return _mm256_add_epi16(a, b); }
FC_INLINE wide wide_sub(wide a, wide b) { return _mm256_sub_epi16(a, b); }
FC_INLINE wide wide_mul(wide a, wide b) { return _mm256_mullo_epi16(a, b); }
FC_INLINE wide wide_mul_high(wide a, wide b) { return _mm256_mulhi_epu16(a, b); }
FC_INLINE wide wide_shift(wide a, int n) { return _mm256_srl_epi16(a, _mm_cvtsi32_si128(n)); }
FC_INLINE wide wide_and(wide a, wide b) { return _mm256_and_si256(a, b); }

/* 32-bit integers. */
typedef __m256i sum;
#define SUM_LANES 8

FC_INLINE sum sum_set1(int32_t x) { return _mm256_set1_epi32(x); }
FC_INLINE sum sum_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
FC_INLINE void sum_store(int32_t *p, sum v) { _mm256_storeu_si256((__m256i *)p, v); }
FC_INLINE void sum_store_8(uint8_t *p, sum v)
{
    const __m256i low = _mm256_shuffle_epi8(v, _mm256_set1_epi32(0x0c080400));
    const __m128i all = _mm_unpacklo_epi32(_mm256_castsi256_si128(low),
                                           _mm256_extracti128_si256(low, 1));
    _mm_storel_epi64((__m128i *)p, all);
}
/* 4 x 4 bytes in each half of a vector: rows become columns. */
FC_INLINE sum sum_turn_8(sum v)
{
    return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                      0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}
FC_INLINE sum sum_join_8(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d)
{
    const __m128i low = _mm_unpacklo_epi32(_mm_loadl_epi64((const __m128i *)a),
                                           _mm_loadl_epi64((const __m128i *)b));
    const __m128i high = _mm_unpacklo_epi32(_mm_loadl_epi64((const __m128i *)c),
                                            _mm_loadl_epi64((const __m128i *)d));
    const __m128i first = _mm_unpacklo_epi64(low, high), second = _mm_unpackhi_epi64(low, high);
    return sum_turn_8(_mm256_set_m128i(second, first));
}
FC_INLINE sum sum_split_8(sum v)
{
    return _mm256_permutevar8x32_epi32(sum_turn_8(v), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
FC_INLINE sum sum_even(sum a, sum b)
{
    const __m256 words = _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(words), 0xd8);
}
FC_INLINE sum sum_odd(sum a, sum b)
{
    const __m256 words = _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0xdd);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(words), 0xd8);
}
FC_INLINE sum sum_add(sum a, sum b) { return _mm256_add_epi32(a, b); }
FC_INLINE sum sum_sub(sum a, sum b) { return _mm256_sub_epi32(a, b); }
FC_INLINE sum sum_mul(sum a, sum b) { return _mm256_mullo_epi32(a, b); }
FC_INLINE sum sum_dot(sum acc, sum a, sum b) { return sum_add(acc, _mm256_madd_epi16(a, b)); }
FC_INLINE sum sum_real(sum v, sum scale)
{
    return _mm256_castps_si256(_mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_castsi256_ps(scale)));
}
FC_INLINE sum sum_round(sum v, sum scale, float low, float high)
{
    const __m256 x = _mm256_max_ps(_mm256_castsi256_ps(sum_real(v, scale)), _mm256_set1_ps(low));
    return _mm256_cvtps_epi32(_mm256_min_ps(x, _mm256_set1_ps(high)));
}

#endif
