/* Rows become columns, LANES x LANES elements at a time. */

/* In registers: log2(LANES) times every vector is zipped with the one half of them further, which
 * turns the bits of (vector, lane) by one place. */
FC_INLINE void transpose(vec *a)
{
    vec b[LANES];
    FC_UNROLL for (int turns = 1; turns < LANES; turns *= 2) {
        FC_UNROLL for (int i = 0; i < LANES / 2; i++) {
            b[2 * i] = v_zip_low(a[i], a[i + LANES / 2]);
            b[2 * i + 1] = v_zip_high(a[i], a[i + LANES / 2]);
        }
        FC_UNROLL for (int i = 0; i < LANES; i++)
            a[i] = b[i];
    }
}

/* dst[i * width + j] = src[j * pitch + i], or 0 from j = rows on, for i < count and j < width. */
static void transpose_into(real *dst, ptrdiff_t width, const real *src, ptrdiff_t pitch,
                           ptrdiff_t rows, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i += LANES)
        for (ptrdiff_t j = 0; j < width; j += LANES) {
            const ptrdiff_t across = FC_MIN(LANES, count - i), down = FC_MIN(LANES, width - j);
            vec a[LANES];
            FC_UNROLL for (int k = 0; k < LANES; k++) {
                const real *const at = src + (j + k) * pitch + i;
                a[k] = j + k >= rows ? v_set1(0)
                       : across == LANES ? v_load(at)
                                         : v_load_n(at, across);
            }
            transpose(a);
            for (ptrdiff_t k = 0; k < across; k++) {
                real *const to = dst + (i + k) * width + j;
                if (down == LANES)
                    v_store(to, a[k]);
                else
                    v_store_n(to, a[k], down);
            }
        }
}
