/* Correlation with kernels of 5 or 7 rows: strips of a few vectors roll down the rows of a block, with
 * the sums of all output rows that are begun in registers. Each source row is loaded once for them, where it
 * is; the order of every sum is that of filter_strip.h, and so are the bits.
 *
 * Bound by arithmetic: kh * kw multiply-adds, and for them kw loads, most of which cross a cache line and so
 * count twice, and kh * kw / ROLLING_VECTORS broadcasts. */

#if VEC_REGS == 32 /* fewer do not hold the sums of two vectors: filter2d.h is as fast there */

#define ROLLING_LARGEST 7
#define ROLLING_VECTORS 4 /* at most */

FC_INLINE void rolling_down(const struct filter_down *down, const real *kernel, const int kh, const int nv)
{
    const struct filter_down t = *down;
    const ptrdiff_t kw = t.p->kw, c = t.p->c, size = (ptrdiff_t)dtype_size(t.p->out_dtype);
    const ptrdiff_t pitch = t.p->ow * c * size;
    const int out_dtype = t.p->out_dtype, direct = out_dtype == REAL_DTYPE && t.count == nv * LANES;
    const int stream = direct && filter_streams(t.p);
    const vec scale = v_set1((real)t.p->scale), delta = v_set1((real)t.p->delta);
    real last[ROLLING_VECTORS * LANES];
    vec acc[ROLLING_LARGEST][ROLLING_VECTORS];
    FC_UNROLL for (int o = 0; o < kh; o++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[o][v] = v_set1(0);
    char *out = t.out;
    for (ptrdiff_t i = 0; i < t.rows + kh - 1; i++) {
        const real *x = (const real *)t.row[i] + t.x, *weight = kernel;
        const real *const later = (const real *)t.ahead[i] + t.later;
        FC_UNROLL for (int v = 0; v < nv; v++)
            FC_PREFETCH(later + v * LANES);
        for (ptrdiff_t s = 0; s < kw; s++, x += c, weight++) {
            vec pixels[ROLLING_VECTORS];
            FC_UNROLL for (int v = 0; v < nv; v++) {
                pixels[v] = v_load(x + v * LANES);
                FC_KEEP(pixels[v]);
            }
            /* The first sums are those of the window that ends here. */
            FC_UNROLL for (int o = 0; o < kh; o++) {
                const vec w = v_set1(weight[(kh - 1 - o) * kw]);
                FC_UNROLL for (int v = 0; v < nv; v++)
                    acc[o][v] = v_fma(w, pixels[v], acc[o][v]);
            }
        }
        if (i >= kh - 1) {
            real *const to = direct ? (real *)(void *)out : last;
            FC_UNROLL for (int v = 0; v < nv; v++)
                filter_put(to + v * LANES, v_fma(acc[0][v], scale, delta), stream);
            if (!direct)
                store_from_real(out, last, out_dtype, t.count);
            out += pitch;
        }
        FC_UNROLL for (int o = 0; o < kh; o++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[o][v] = o + 1 < kh ? acc[o + 1][v] : v_set1(0);
    }
}

/* Vectors of a strip: as many as have room for all sums. */
#define ROLLING_OF(kh) ((kh) < 7 ? ROLLING_VECTORS : ROLLING_VECTORS - 1)
FC_INLINE ptrdiff_t rolling_step(const struct fc_filter2d *p) { return ROLLING_OF(p->kh) * LANES; }

static void rolling(const struct filter_down *t, const real *kernel)
{
    if (t->p->kh == 5)
        rolling_down(t, kernel, 5, ROLLING_OF(5));
    else
        rolling_down(t, kernel, 7, ROLLING_OF(7));
}

FC_SMALL size_t filter_rolling_scratch(const void *params)
{
    return filter_rows_taken(params, rolling_step(params));
}

static void filter_rolling(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t step = rolling_step(p);
    const ptrdiff_t plane = p->oh * p->ow * p->c * (ptrdiff_t)dtype_size(p->out_dtype);
    assert(p->kh == 5 || p->kh == 7);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit), next = fc_filter_block(p, unit + 1);
        char *area = scratch;
        const ptrdiff_t head = filter_head(p, &b, p->out);
        const struct filter_rows rows = filter_rows(p, &b, step, head, &area);
        for (ptrdiff_t x = 0; x < b.cols * p->c;) {
            struct filter_down down = filter_down_at(p, &b, &next, &rows, x, head, step);
            for (ptrdiff_t m = 0; m < p->m; m++, down.out += plane)
                rolling(&down, (const real *)p->kernel + m * p->kh * p->kw);
            x += down.count;
        }
    }
    v_stream_end();
}

#else

FC_SMALL size_t filter_rolling_scratch(const void *params) { return filter_scratch(params, 0); }
static void filter_rolling(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    filter2d(params, begin, end, scratch);
}
#endif
