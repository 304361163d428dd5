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

/* LANES lines of as many elements. A function of its own: in a loop compilers keep an address for
 * each line, and have no registers left for the elements. */
FC_NOINLINE void transpose_tile(real *dst, ptrdiff_t dst_pitch, const real *src, ptrdiff_t pitch)
{
    vec a[LANES];
    FC_UNROLL for (int k = 0; k < LANES; k++, src += pitch)
        a[k] = v_load(src);
    transpose(a);
    FC_UNROLL for (int k = 0; k < LANES; k++, dst += dst_pitch)
        v_store(dst, a[k]);
}

/* dst[i * dst_pitch + j] = src[j * pitch + i], or 0 from j = rows on, for i < count and
 * j < width. The last vector of lines may overlap the one before: a whole one is twice as fast. */
static void transpose_lines(real *dst, ptrdiff_t dst_pitch, ptrdiff_t width, const real *src,
                            ptrdiff_t pitch, ptrdiff_t rows, ptrdiff_t count)
{
    /* Along the longer side: a processor follows few streams at a time. */
    const int along = count > width;
    for (ptrdiff_t outer = 0; outer < FC_MIN(width, count); outer += LANES)
        for (ptrdiff_t inner = 0; inner < FC_MAX(width, count); inner += LANES) {
            const ptrdiff_t j = along ? outer : inner, begin = along ? inner : outer;
            const ptrdiff_t i = count < LANES ? 0 : FC_MIN(begin, count - LANES);
            const ptrdiff_t across = FC_MIN(LANES, count - i), down = FC_MIN(LANES, width - j);
            const real *const from = src + j * pitch + i;
            real *const to = dst + i * dst_pitch + j;
            vec a[LANES];
            if (across == LANES && down == LANES && j + LANES <= rows) {
                transpose_tile(to, dst_pitch, from, pitch);
                continue;
            }
            FC_UNROLL for (int k = 0; k < LANES; k++)
                a[k] = j + k >= rows ? v_set1(0)
                       : across == LANES ? v_load(from + k * pitch)
                                         : v_load_n(from + k * pitch, across);
            transpose(a);
            for (ptrdiff_t k = 0; k < across; k++)
                if (down == LANES)
                    v_store(to + k * dst_pitch, a[k]);
                else
                    v_store_n(to + k * dst_pitch, a[k], down);
        }
}

/* The same, lines of dst one after the other. */
static void transpose_into(real *dst, ptrdiff_t width, const real *src, ptrdiff_t pitch,
                           ptrdiff_t rows, ptrdiff_t count)
{
    transpose_lines(dst, width, width, src, pitch, rows, count);
}
