/* AVX-512 F, BW, DQ, VL: 64-byte vectors, 32 registers. Names as in scalar.h. */
#include <immintrin.h>

#include "../platform.h"

#define VEC_REGS 32
#define V_LATER (FC_BITS < 32)
#define V_PART (FC_BITS >= 32)
typedef __m512i v_places;

FC_INLINE void v_stream_end(void) { _mm_sfence(); }

FC_INLINE uint32_t within_16(const uint16_t *p, uint16_t from, uint16_t n)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_cmplt_epu16_mask(_mm256_sub_epi16(x, _mm256_set1_epi16((short)from)),
                                   _mm256_set1_epi16((short)n));
}

#if FC_BITS == 32

typedef float real;
typedef __m512 vec;
#define LANES 16

FC_INLINE __mmask16 v_first(ptrdiff_t n) { return (__mmask16)((1u << n) - 1); }

FC_INLINE vec v_set1(real x) { return _mm512_set1_ps(x); }
FC_INLINE vec v_load(const real *p) { return _mm512_loadu_ps(p); }
FC_INLINE void v_store(real *p, vec v) { _mm512_storeu_ps(p, v); }
FC_INLINE void v_stream(real *p, vec v) { _mm512_stream_ps(p, v); }
FC_INLINE vec v_load_n(const real *p, ptrdiff_t n) { return _mm512_maskz_loadu_ps(v_first(n), p); }
FC_INLINE void v_store_n(real *p, vec v, ptrdiff_t n) { _mm512_mask_storeu_ps(p, v_first(n), v); }
FC_INLINE vec v_load_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
FC_INLINE void v_store_half(uint16_t *p, vec v)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
FC_INLINE void v_store_8(uint8_t *p, const vec v[4])
{
    FC_UNROLL for (int i = 0; i < 4; i++) { /* vmaxps gives its second operand for a NaN */
        const __m512i x = _mm512_cvtps_epi32(_mm512_max_ps(v[i], _mm512_setzero_ps()));
        _mm_storeu_si128((__m128i *)(p + i * LANES), _mm512_cvtusepi32_epi8(x));
    }
}
FC_INLINE vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
FC_INLINE vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
FC_INLINE vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
FC_INLINE vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
FC_INLINE vec v_sqrt(vec x) { return _mm512_sqrt_ps(x); }
FC_INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
FC_INLINE vec v_max(vec acc, vec x)
{
    /* vmaxps gives its second operand for a NaN in either. */
    return _mm512_mask_max_ps(x, _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x, acc);
}
FC_INLINE vec v_min(vec acc, vec x)
{
    return _mm512_mask_min_ps(x, _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x, acc);
}
FC_INLINE vec v_larger(vec acc, vec x) { return _mm512_max_ps(x, acc); }
FC_INLINE vec v_smaller(vec acc, vec x) { return _mm512_min_ps(x, acc); }
FC_INLINE vec v_key(vec x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i sign = _mm512_srai_epi32(bits, 31), rest = _mm512_set1_epi32(INT32_MAX);
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(bits, sign, rest, 0x78)); /* bits ^ sign & rest */
}
FC_INLINE vec v_key_max(vec a, vec b)
{
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
FC_INLINE vec v_key_min(vec a, vec b)
{
    return _mm512_castsi512_ps(_mm512_min_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
FC_INLINE vec v_bits_max(vec a, vec b)
{
    return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
FC_INLINE vec v_if_less(vec a, vec b, vec x, vec y)
{
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
}
FC_INLINE vec v_abs(vec x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x); }
FC_INLINE vec v_copysign(vec x, vec sign)
{
    return _mm512_or_ps(v_abs(x), _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}
FC_INLINE vec v_pow2(vec n)
{
    const __m512i biased = _mm512_castps_si512(_mm512_add_ps(n, _mm512_set1_ps(0x1.8p23f + 127)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}
FC_INLINE v_places v_places_from(int n)
{
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(first, _mm512_set1_epi32(n));
}
FC_INLINE vec v_part(vec a, vec b, v_places n) { return _mm512_permutex2var_ps(a, n, b); }
FC_INLINE vec v_even(vec a, vec b)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, even, b);
}
FC_INLINE vec v_odd(vec a, vec b)
{
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, odd, b);
}
FC_INLINE vec v_zip_low(vec a, vec b)
{
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(a, low, b);
}
FC_INLINE vec v_zip_high(vec a, vec b)
{
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return _mm512_permutex2var_ps(a, high, b);
}
FC_INLINE vec v_shift_in(vec before, vec v)
{
    return _mm512_castsi512_ps(
        _mm512_alignr_epi32(_mm512_castps_si512(v), _mm512_castps_si512(before), 15));
}

#else

#if FC_BITS == 8
typedef uint8_t real;
#else
typedef uint16_t real;
#endif
typedef __m512i vec;
#define LANES (512 / FC_BITS)

FC_INLINE vec v_load(const real *p) { return _mm512_loadu_si512(p); }
FC_INLINE void v_stream(real *p, vec v) { _mm512_stream_si512((void *)p, v); }
FC_INLINE void v_store(real *p, vec v) { _mm512_storeu_si512(p, v); }
FC_INLINE vec v_later(vec a, vec b, const int n)
{
    const __m512i after = _mm512_alignr_epi32(b, a, 4); /* alignr_epi8 works within 128-bit lanes */
#define LATER(n) \
    case n: return _mm512_alignr_epi8(after, a, n * (FC_BITS / 8))
    switch (n) {
        LATER(1); LATER(2); LATER(3); LATER(4); LATER(5); LATER(6);
    default:
        LATER(7);
    }
#undef LATER
}

#endif

#if FC_BITS == 16

FC_INLINE vec v_set1(real x) { return _mm512_set1_epi16((short)x); }
FC_INLINE vec v_larger(vec acc, vec x) { return _mm512_max_epu16(acc, x); }
FC_INLINE vec v_smaller(vec acc, vec x) { return _mm512_min_epu16(acc, x); }

#elif FC_BITS == 8

FC_INLINE __mmask64 v_first(ptrdiff_t n) { return ((__mmask64)1 << n) - 1; }

FC_INLINE vec v_set1(real x) { return _mm512_set1_epi8((char)x); }
FC_INLINE vec v_load_n(const real *p, ptrdiff_t n) { return _mm512_maskz_loadu_epi8(v_first(n), p); }
FC_INLINE void v_store_n(real *p, vec v, ptrdiff_t n) { _mm512_mask_storeu_epi8(p, v_first(n), v); }
FC_INLINE vec v_max(vec acc, vec x) { return _mm512_max_epu8(acc, x); }
FC_INLINE vec v_min(vec acc, vec x) { return _mm512_min_epu8(acc, x); }
FC_INLINE vec v_larger(vec acc, vec x) { return v_max(acc, x); }
FC_INLINE vec v_smaller(vec acc, vec x) { return v_min(acc, x); }
FC_INLINE vec v_flip(vec v) { return _mm512_xor_si512(v, _mm512_set1_epi8(-128)); }
/* packus works within 128-bit lanes and leaves the quadwords as a0 b0 a1 b1 ... */
FC_INLINE vec v_pack(vec a, vec b)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    return _mm512_permutexvar_epi64(order, _mm512_packus_epi16(a, b));
}
FC_INLINE vec v_even(vec a, vec b)
{
    const __m512i low = _mm512_set1_epi16(0xff);
    return v_pack(_mm512_and_si512(a, low), _mm512_and_si512(b, low));
}
FC_INLINE vec v_odd(vec a, vec b)
{
    return v_pack(_mm512_srli_epi16(a, 8), _mm512_srli_epi16(b, 8));
}

/* 16-bit integers, two vectors of them for one of uint8. */
typedef __m512i wide;
#define WIDE_LANES 32

FC_INLINE wide wide_set1(int x) { return _mm512_set1_epi16((short)x); }
FC_INLINE wide wide_load(const uint8_t *p)
{
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)p));
}
FC_INLINE wide wide_load_16(const int16_t *p) { return _mm512_loadu_si512(p); }
FC_INLINE void wide_store(int16_t *p, wide v) { _mm512_storeu_si512(p, v); }
FC_INLINE void wide_store_8(uint8_t *p, wide v)
{
    v = _mm512_max_epi16(v, _mm512_setzero_si512());
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtusepi16_epi8(v));
}
FC_INLINE wide wide_add(wide a, wide b) { return _mm512_add_epi16(a, b); }
FC_INLINE wide wide_sub(wide a, wide b) { return _mm512_sub_epi16(a, b); }
FC_INLINE wide wide_mul(wide a, wide b) { return _mm512_mullo_epi16(a, b); }
FC_INLINE wide wide_mul_high(wide a, wide b) { return _mm512_mulhi_epu16(a, b); }
FC_INLINE wide wide_shift(wide a, int n) { return _mm512_srl_epi16(a, _mm_cvtsi32_si128(n)); }
FC_INLINE wide wide_and(wide a, wide b) { return _mm512_and_si512(a, b); }

/* 32-bit integers. */
typedef __m512i sum;
#define SUM_LANES 16

FC_INLINE sum sum_set1(int32_t x) { return _mm512_set1_epi32(x); }
FC_INLINE sum sum_load(const int32_t *p) { return _mm512_loadu_si512(p); }
FC_INLINE void sum_store(int32_t *p, sum v) { _mm512_storeu_si512(p, v); }
FC_INLINE void sum_store_8(uint8_t *p, sum v)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(v));
}
/* 4 x 4 words, or in each quarter of a vector 4 x 4 bytes: rows become columns. */
FC_INLINE sum sum_turn_32(sum v)
{
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}
FC_INLINE sum sum_turn_8(sum v)
{
    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_setr_epi8(
                                      0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}
FC_INLINE sum sum_join_8(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)a));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)b), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)c), 2);
    return sum_turn_8(sum_turn_32(
        _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)d), 3)));
}
FC_INLINE sum sum_split_8(sum v) { return sum_turn_32(sum_turn_8(v)); }
FC_INLINE sum sum_even(sum a, sum b)
{
    const sum even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_epi32(a, even, b);
}
FC_INLINE sum sum_odd(sum a, sum b)
{
    const sum odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_epi32(a, odd, b);
}
FC_INLINE sum sum_add(sum a, sum b) { return _mm512_add_epi32(a, b); }
FC_INLINE sum sum_sub(sum a, sum b) { return _mm512_sub_epi32(a, b); }
FC_INLINE sum sum_mul(sum a, sum b) { return _mm512_mullo_epi32(a, b); }
FC_INLINE sum sum_dot(sum acc, sum a, sum b) { return sum_add(acc, _mm512_madd_epi16(a, b)); }
/* Of four unsigned bytes and four with a sign: for processors with VNNI alone. */
#define SUM_DOT4 1
FC_VNNI FC_INLINE sum sum_dot4(sum acc, sum bytes, sum with_sign)
{
    return _mm512_dpbusd_epi32(acc, bytes, with_sign);
}
/* Words of neighbouring bytes from x on: `places` of words in each quarter, `within` it those of bytes. */
FC_INLINE sum sum_spread_8(const uint8_t *x, sum places, sum within)
{
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(places, _mm512_loadu_si512(x)), within);
}
/* Bytes of words, one later: the last one of `before` comes in. */
FC_INLINE sum sum_later_8(sum before, sum v)
{
    return _mm512_or_si512(_mm512_slli_epi32(v, 8), _mm512_srli_epi32(before, 24));
}
FC_INLINE sum sum_real(sum v, sum scale)
{
    return _mm512_castps_si512(_mm512_mul_ps(_mm512_cvtepi32_ps(v), _mm512_castsi512_ps(scale)));
}
FC_INLINE sum sum_below(sum v, sum scale, float high)
{
    const __m512 x = _mm512_castsi512_ps(sum_real(v, scale));
    return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(high), x));
}
FC_INLINE void sum_store_pair_8(uint8_t *p, sum a, sum b, int32_t low, int32_t zero)
{
    const __m512i words = _mm512_packs_epi32(a, b); /* in quarters 4 of a, 4 of b */
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const __m512i clipped = _mm512_max_epi16(words, _mm512_set1_epi16((short)low));
    const __m256i bytes = _mm512_cvtepi16_epi8(_mm512_permutexvar_epi64(order, clipped));
    _mm256_storeu_si256((__m256i *)p, _mm256_add_epi8(bytes, _mm256_set1_epi8((char)zero)));
}
FC_INLINE sum sum_round(sum v, sum scale, float low, float high)
{
    const __m512 x = _mm512_max_ps(_mm512_castsi512_ps(sum_real(v, scale)), _mm512_set1_ps(low));
    return _mm512_cvtps_epi32(_mm512_min_ps(x, _mm512_set1_ps(high)));
}

#endif
