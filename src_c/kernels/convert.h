/* Between the caller's element types and the type that a kernel computes in. The loops are plain:
 * with the variant's flags every compiler turns them into vectors (float16, which C does not know,
 * goes by vectors), and each step is exact or rounded once, so the bits do not depend on how. */

#include "../dtype.h"

/* The type that is computed in. */
#define REAL_DTYPE \
    (FC_BITS == 8 ? FC_UINT8 : FC_BITS == 16 ? FC_UINT16 : FC_BITS == 32 ? FC_FLOAT32 : FC_FLOAT64)
#if FC_BITS == 32
#define REAL_MOST FLT_MAX /* the largest number that is finite */
#else
#define REAL_MOST DBL_MAX
#endif

#if FC_BITS == 8 /* for uint8 images alone */
static void load_as_real(real *dst, const void *src, int dtype, ptrdiff_t n)
{
    (void)dtype;
    memcpy(dst, src, (size_t)n);
}
static void store_from_real(void *dst, const real *src, int dtype, ptrdiff_t n)
{
    (void)dtype;
    memcpy(dst, src, (size_t)n);
}
#elif FC_BITS == 16
/* uint16 as it is, int16 by its top bit the other way round: in order as uint16. */
FC_NOINLINE void load_as_real(real *dst, const void *src, int dtype, ptrdiff_t n)
{
    const real flip = dtype == FC_INT16 ? 1 << 15 : 0, *const from = src;
    for (ptrdiff_t i = 0; i < n; i++)
        dst[i] = (real)(from[i] ^ flip);
}
static void store_from_real(void *dst, const real *src, int dtype, ptrdiff_t n)
{
    load_as_real(dst, src, dtype, n);
}
#else

#if FC_BITS == 64
#include "../simd/half.h" /* half_from_real */

/* Compilers that are told to keep it small leave these in single steps. */
static void load_float(real *dst, const float *src, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(dst + i, v_load_float(src + i));
    for (; i < n; i++)
        dst[i] = src[i];
}

static void store_float(float *dst, const real *src, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store_float(dst + i, v_load(src + i));
    for (; i < n; i++)
        dst[i] = (float)src[i];
}
#endif

static void load_half(real *dst, const uint16_t *src, ptrdiff_t n)
{
    const ptrdiff_t rest = n % LANES;
    uint16_t last[LANES] = {0};
    for (ptrdiff_t i = 0; i < n - rest; i += LANES)
        v_store(dst + i, v_load_half(src + i));
    if (rest) {
        memcpy(last, src + n - rest, (size_t)rest * sizeof *last);
        v_store_n(dst + n - rest, v_load_half(last), rest);
    }
}

static void store_half(uint16_t *dst, const real *src, ptrdiff_t n)
{
#if FC_BITS == 64 /* half.h says why */
    for (ptrdiff_t i = 0; i < n; i++)
        dst[i] = half_from_real(src[i]);
#else
    const ptrdiff_t rest = n % LANES;
    uint16_t last[LANES];
    for (ptrdiff_t i = 0; i < n - rest; i += LANES)
        v_store_half(dst + i, v_load(src + i));
    if (rest) {
        v_store_half(last, v_load_n(src + n - rest, rest));
        memcpy(dst + n - rest, last, (size_t)rest * sizeof *last);
    }
#endif
}

#define LOAD_AS(type)                                                                          \
    do {                                                                                       \
        const type *const from = src;                                                          \
        for (ptrdiff_t i = 0; i < n; i++)                                                      \
            dst[i] = (real)from[i];                                                            \
    } while (0)

/* n elements of the caller's type, none of them wider than real. */
static void load_as_real(real *dst, const void *src, int dtype, ptrdiff_t n)
{
    switch (dtype) {
    case FC_UINT8: LOAD_AS(uint8_t); break;
    case FC_UINT16: LOAD_AS(uint16_t); break;
    case FC_INT16: LOAD_AS(int16_t); break;
    case FC_FLOAT16: load_half(dst, src, n); break;
    case REAL_DTYPE: memcpy(dst, src, (size_t)n * sizeof(real)); break;
#if FC_BITS == 64
    default: load_float(dst, src, n); break;
#endif
    }
}

/* Half to even, then into [low, high]; a NaN becomes 0, by the first comparison if low is 0. */
#define STORE_ROUNDED(type, low, high)                                                         \
    do {                                                                                       \
        type *const to = dst;                                                                  \
        for (ptrdiff_t i = 0; i < n; i++) {                                                    \
            const real number = (low) == 0 || src[i] == src[i] ? src[i] : 0;                   \
            const real raised = number > (low) ? number : (low);                               \
            to[i] = (type)(int32_t)real_rint(raised < (high) ? raised : (high));               \
        }                                                                                      \
    } while (0)
#define STORE_AS(type)                                                                         \
    do {                                                                                       \
        type *const to = dst;                                                                  \
        for (ptrdiff_t i = 0; i < n; i++)                                                      \
            to[i] = (type)src[i];                                                              \
    } while (0)

#if FC_BITS == 32
/* The most frequent of them: compilers compare and select where a processor clips and packs. */
FC_INLINE void store_step_8(uint8_t *dst, const real *src)
{
    const vec v[] = {v_load(src), v_load(src + LANES), v_load(src + 2 * LANES),
                     v_load(src + 3 * LANES)};
    v_store_8(dst, v);
}
static void store_8(uint8_t *dst, const real *src, ptrdiff_t n)
{
    enum { STEP = 4 * LANES };
    const ptrdiff_t rest = n % STEP;
    for (ptrdiff_t i = 0; i < n - rest; i += STEP)
        store_step_8(dst + i, src + i);
    if (rest) {
        real last[STEP] = {0};
        uint8_t bytes[STEP];
        memcpy(last, src + n - rest, (size_t)rest * sizeof *last);
        store_step_8(bytes, last);
        memcpy(dst + n - rest, bytes, (size_t)rest);
    }
}
#endif

FC_INLINE real real_rint(real x) { return FC_BITS == 32 ? (real)rintf((float)x) : (real)rint(x); }

static void store_from_real(void *dst, const real *src, int dtype, ptrdiff_t n)
{
    switch (dtype) {
#if FC_BITS == 32
    case FC_UINT8: store_8(dst, src, n); break;
#else
    case FC_UINT8: STORE_ROUNDED(uint8_t, 0, UINT8_MAX); break;
#endif
    case FC_UINT16: STORE_ROUNDED(uint16_t, 0, UINT16_MAX); break;
    case FC_INT16: STORE_ROUNDED(int16_t, INT16_MIN, INT16_MAX); break;
    case FC_FLOAT16: store_half(dst, src, n); break;
    case REAL_DTYPE: memcpy(dst, src, (size_t)n * sizeof(real)); break;
#if FC_BITS == 32
    default: STORE_AS(double); break;
#else
    default: store_float(dst, src, n); break;
#endif
    }
}
#endif
