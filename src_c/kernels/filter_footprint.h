/* Maxima and minima of the pixels under any footprint, flat or with a number added to each of them.
 *
 * The kernel names the elements of the footprint: for integers those that are not 0; for floats all
 * but NaNs, and its numbers are added to the pixels. Source rows stand in a ring of lines; a step
 * of outputs joins its terms one by one, with the window's tile (filter_window.h). Where a ring of all
 * rows of a kernel would be too large (`kernel_rows`), it holds some of them at a time, which come
 * again for every row of outputs. */

struct footprint_term {
    ptrdiff_t row, col; /* col counts numbers */
    real weight;
};

/* Beside the ring: a row of results on its way out, and what some rows of the kernel add to it. */
#define FOOTPRINT_LINES 2

FC_SMALL size_t filter_footprint_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return taken(p->kh * p->kw, sizeof(struct footprint_term)) +
           taken(p->kh * p->kw, sizeof(real *)) +
           taken(p->kernel_rows * filter_pitch(p, WINDOW_STEP), sizeof(real)) +
           taken(FOOTPRINT_LINES * window_row_pitch(p), sizeof(real));
}

static ptrdiff_t footprint_terms(const struct fc_filter2d *p, struct footprint_term *term, int *flat)
{
    const real *const kernel = p->kernel;
    ptrdiff_t count = 0;
    *flat = 1;
    for (ptrdiff_t i = 0; i < p->kh * p->kw; i++) {
#if FC_BITS < 32
        if (!kernel[i])
            continue;
#else
        if (kernel[i] != kernel[i])
            continue;
        *flat = *flat && kernel[i] == 0;
#endif
        term[count++] = (struct footprint_term){i / p->kw, i % p->kw * p->c, kernel[i]};
    }
    return count;
}

FC_INLINE int footprint_reduction(const struct fc_filter2d *p)
{
    return p->reduction | (FC_BITS < 32 ? WINDOW_NUMBERS : 0);
}

#if FC_BITS >= 32
/* dst[i] = the terms with their weights, joined. */
FC_INLINE void footprint_raised(real *dst, const real *const *x, const struct footprint_term *term,
                                ptrdiff_t k, ptrdiff_t n, const int join)
{
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        vec acc = v_add(v_load(x[0] + i), v_set1(term[0].weight));
        for (ptrdiff_t j = 1; j < k; j++)
            acc = window_join(acc, v_add(v_load(x[j] + i), v_set1(term[j].weight)), join);
        v_store(dst + i, acc);
    }
}
#endif

/* dst = the terms at x, joined: n numbers. */
static void footprint_join(const struct fc_filter2d *p, real *dst, const real *const *x,
                           const struct footprint_term *term, ptrdiff_t k, ptrdiff_t n, int flat)
{
#if FC_BITS >= 32
    if (!flat && p->reduction == FC_MAXIMUM)
        footprint_raised(dst, x, term, k, n, FC_MAXIMUM);
    else if (!flat)
        footprint_raised(dst, x, term, k, n, FC_MINIMUM);
    else
#endif
        window_terms(dst, x, k, n, footprint_reduction(p));
    (void)term, (void)flat;
}

FC_SMALL void filter_footprint(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t pitch = filter_pitch(p, WINDOW_STEP), rows = p->kernel_rows;
    char *area = scratch;
    struct footprint_term *const term = take(&area, p->kh * p->kw, sizeof *term);
    const real **const x = take(&area, p->kh * p->kw, sizeof *x);
    real *const ring = take(&area, rows * pitch, sizeof(real));
    real *const line = take(&area, FOOTPRINT_LINES * window_row_pitch(p), sizeof(real));
    real *const part = line + window_row_pitch(p);
    int flat;
    const ptrdiff_t terms = footprint_terms(p, term, &flat);

    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        const struct filter_ends whole = fc_filter_ends(p, &b, FILTER_NOWHERE);
        const ptrdiff_t n = b.cols * p->c;
        ptrdiff_t fetched = b.y0;
        for (ptrdiff_t y = b.y0; y < b.y1; y++) {
            const ptrdiff_t at = ((b.plane * p->oh + y) * p->ow + b.x0) * p->c;
            for (ptrdiff_t i = 0, done = 0, k; i < p->kh; i += rows, done += k) {
                const ptrdiff_t past = FC_MIN(i + rows, p->kh);
                if (rows < p->kh)
                    fetched = y + i;
                for (; fetched < y + past; fetched++)
                    filter_fetch(p, ring + fetched % rows * pitch, &whole, fetched - p->top);
                for (k = 0; done + k < terms && term[done + k].row < past; k++)
                    x[k] = ring + (y + term[done + k].row) % rows * pitch + term[done + k].col;
                if (k)
                    footprint_join(p, done ? part : line, x, term + done, k, n, flat);
                if (k && done)
                    window_pair(line, line, part, n, footprint_reduction(p));
            }
            store_from_real((char *)p->out + at * (ptrdiff_t)dtype_size(p->out_dtype), line,
                            p->out_dtype, n);
        }
    }
}
