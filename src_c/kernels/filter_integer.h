/* Correlation of uint8 images with small integer kernels, in 16 bits: twice the lanes of a float, and
 * exact where no sum can leave them. Separable kernels go down the columns of uint8 lines first, into a
 * line of 16 bits, and along that line then; others term by term. Bound by memory. */

struct integer_term {
    ptrdiff_t at; /* which row, or how many numbers along one */
    ptrdiff_t col;
    int16_t weight;
};

struct integer_work {
    struct integer_term *term;
    ptrdiff_t terms, along; /* all terms, or those down the columns and then those along */
};

static ptrdiff_t integer_terms(struct integer_term *term, const int16_t *kernel, ptrdiff_t kh,
                               ptrdiff_t kw, ptrdiff_t step)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < kh * kw; i++)
        if (kernel[i])
            term[count++] = (struct integer_term){i / kw, i % kw * step, kernel[i]};
    return count;
}

#define INTEGER_VECTORS 4 /* at a time: lines have room for as many past their end */
#define INTEGER_STEP (INTEGER_VECTORS * WIDE_LANES)

/* The sums of all terms of uint8 rows, from i on. */
FC_INLINE void integer_rows(const struct integer_work *w, const real *const *row, ptrdiff_t i,
                            int delta, wide *acc)
{
    FC_UNROLL for (int v = 0; v < INTEGER_VECTORS; v++)
        acc[v] = wide_set1(delta);
    for (const struct integer_term *t = w->term; t < w->term + w->terms; t++) {
        const real *const x = row[t->at] + t->col + i;
        const wide weight = wide_set1(t->weight);
        FC_UNROLL for (int v = 0; v < INTEGER_VECTORS; v++)
            acc[v] = wide_add(acc[v], wide_mul(wide_load(x + v * WIDE_LANES), weight));
    }
}

/* The sums of the terms along a line of 16 bits, from i on. */
FC_INLINE void integer_along(const struct integer_work *w, const int16_t *line, ptrdiff_t i, int delta,
                             wide *acc)
{
    const struct integer_term *const first = w->term + w->terms;
    FC_UNROLL for (int v = 0; v < INTEGER_VECTORS; v++)
        acc[v] = wide_set1(delta);
    for (const struct integer_term *t = first; t < first + w->along; t++) {
        const int16_t *const x = line + i + t->col;
        const wide weight = wide_set1(t->weight);
        FC_UNROLL for (int v = 0; v < INTEGER_VECTORS; v++)
            acc[v] = wide_add(acc[v], wide_mul(wide_load_16(x + v * WIDE_LANES), weight));
    }
}

/* Store sums of a row of n numbers, from i on; the row begins at number `at` of the result. */
FC_INLINE void integer_store(const struct fc_filter2d *p, ptrdiff_t at, ptrdiff_t i, ptrdiff_t n,
                             const wide *sum)
{
    const ptrdiff_t size = p->out_dtype == FC_INT16 ? 2 : 1;
    char *const out = (char *)p->out + (at + i) * size;
    int16_t last[INTEGER_STEP];
    char *const to = n - i >= INTEGER_STEP ? out : (char *)last;
    FC_UNROLL for (int v = 0; v < INTEGER_VECTORS; v++) {
        if (size == 2)
            wide_store((int16_t *)to + v * WIDE_LANES, sum[v]);
        else
            wide_store_8((uint8_t *)to + v * WIDE_LANES, sum[v]);
    }
    if (to != out)
        memcpy(out, last, (size_t)((n - i) * size));
}

/* A ring of lines of uint8, and two of 16 bits: columns are summed a row ahead, since loads that straddle
 * two stores wait until both have left the processor. */
FC_INLINE ptrdiff_t integer_most_terms(const struct fc_filter2d *p)
{
    return FC_MAX(FC_INTEGER_TERMS, p->kh + p->kw); /* separable or not */
}
FC_SMALL size_t integer_scratch(const struct fc_filter2d *p)
{
    const ptrdiff_t pitch = filter_pitch(p, WINDOW_STEP);
    return taken(integer_most_terms(p), sizeof(struct integer_term)) +
           taken(p->kh, sizeof(real *)) + taken(p->kh * pitch, sizeof(real)) +
           taken(2 * pitch, sizeof(int16_t));
}

FC_INLINE void integer_run(const struct fc_filter2d *p, ptrdiff_t begin, ptrdiff_t end, void *scratch,
                           const int separable)
{
    const ptrdiff_t pitch = filter_pitch(p, WINDOW_STEP);
    const int16_t *const kernel = p->kernel;
    const int delta = (int)p->delta;
    char *area = scratch;
    struct integer_work w = {0};
    w.term = take(&area, integer_most_terms(p), sizeof *w.term);
    real **const row = take(&area, p->kh, sizeof *row);
    real *const ring = take(&area, p->kh * pitch, sizeof(real));
    int16_t *const line = take(&area, 2 * pitch, sizeof(int16_t));
    w.terms = integer_terms(w.term, kernel, p->kh, separable ? 1 : p->kw, p->c);
    if (separable)
        w.along = integer_terms(w.term + w.terms, kernel + p->kh, 1, p->kw, p->c);

    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        const struct filter_ends whole = fc_filter_ends(p, &b, FILTER_NOWHERE);
        const ptrdiff_t n = b.cols * p->c, source = separable ? n + (p->kw - 1) * p->c : n;
        for (ptrdiff_t i = 0; i < p->kh; i++)
            row[i] = ring + i * pitch;
        for (ptrdiff_t s = b.y0; s <= b.y1 + p->kh - 1; s++) {
            const ptrdiff_t y = s - (p->kh - 1), last = p->kh - 1;
            wide sum[INTEGER_VECTORS];
            if (y < b.y1) {
                real *const oldest = row[0];
                for (ptrdiff_t i = 0; i < last; i++)
                    row[i] = row[i + 1];
                row[last] = oldest;
                filter_fetch(p, oldest, &whole, s - p->top);
                for (ptrdiff_t i = 0; y >= b.y0 && i < source; i += INTEGER_STEP) {
                    integer_rows(&w, (const real *const *)row, i, separable ? 0 : delta, sum);
                    FC_UNROLL for (int v = 0; v < INTEGER_VECTORS; v++)
                        wide_store(line + y % 2 * pitch + i + v * WIDE_LANES, sum[v]);
                }
            }
            if (y > b.y0) {
                const int16_t *const done = line + (y - 1) % 2 * pitch;
                const ptrdiff_t at = ((b.plane * p->oh + y - 1) * p->ow + b.x0) * p->c;
                for (ptrdiff_t i = 0; i < n; i += INTEGER_STEP) {
                    if (separable)
                        integer_along(&w, done, i, delta, sum);
                    else
                        FC_UNROLL for (int v = 0; v < INTEGER_VECTORS; v++)
                            sum[v] = wide_load_16(done + i + v * WIDE_LANES);
                    integer_store(p, at, i, n, sum);
                }
            }
        }
    }
}

FC_SMALL size_t filter_integer_scratch(const void *params) { return integer_scratch(params); }
static void filter_integer(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    integer_run(params, begin, end, scratch, 0);
}
FC_SMALL size_t filter_integer_separable_scratch(const void *params) { return integer_scratch(params); }
static void filter_integer_separable(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    integer_run(params, begin, end, scratch, 1);
}
