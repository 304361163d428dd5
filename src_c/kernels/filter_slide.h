/* Sums, maxima and minima of small rectangles of pixels, term by term.
 *
 * Strips of a few vectors slide down the rows of a block. Each source row is joined along the row
 * once, in registers; a few lines that stay in the L1 cache keep it for the windows below, which
 * join their rows from the first to the last.
 *
 * Bound by loads along a row, most of which cross a cache line and so count twice, or by what takes
 * their place. */

#define SLIDE_VECTORS 4
#define SLIDE_STEP (SLIDE_VECTORS * LANES)
#define SLIDE_LATER 8 /* shifts from it are no longer by v_later */

#if FC_BITS < 32
FC_INLINE vec slide_mean(vec sum, double n) { return (void)n, sum; }
#else

/* The mean of n numbers. The quotient by a rounded 1 / n and what it lacks give the
 * sum divided by n, rounded once where the quotient is normal (Markstein, 1990); a division takes far
 * longer. */
FC_INLINE vec slide_mean(vec sum, double n)
{
    const vec inverse = v_set1((real)(1 / n)), q = v_mul(sum, inverse);
    const vec rest = v_fma(q, v_set1((real)-n), sum); /* a NaN where the sum is not finite */
    return v_fma(v_smaller(v_set1(REAL_MOST), rest), inverse, q);
}
#endif

/* Where numbers are compared, mark those that are not finite. */
FC_INLINE void slide_mark(vec wild[SLIDE_VECTORS], const vec x[SLIDE_VECTORS], const int join)
{
    if (join & WINDOW_NUMBERS)
        FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
            filter_mark(wild + v, x[v]);
}

/* The strip's numbers from x on, which are `shift` further than `first`. All but the last vector of
 * them may be in registers already. */
FC_INLINE void slide_next(vec next[SLIDE_VECTORS], const vec first[SLIDE_VECTORS], const real *x,
                          ptrdiff_t shift)
{
    const int last = SLIDE_VECTORS - 1;
#if V_PART
    if (shift <= LANES) {
        const v_places places = v_places_from((int)shift);
        FC_UNROLL for (int v = 0; v < last; v++)
            next[v] = v_part(first[v], first[v + 1], places);
    } else
#endif
        FC_UNROLL for (int v = 0; v < last; v++)
            next[v] = v_load(x + v * LANES);
    next[last] = v_load(x + last * LANES);
    (void)first, (void)shift;
}

/* The strip's first vectors of a row; others are fetched for later. */
FC_INLINE void slide_first(vec first[SLIDE_VECTORS], const real *x, const real *later)
{
    FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++) {
        FC_PREFETCH(later + v * LANES);
        first[v] = v_load(x + v * LANES);
#if V_PART
        FC_KEEP(first[v]);
#endif
    }
}

#if V_PART
#define SLIDE_PAST 2 /* vectors past a strip's own, at most, that are joined in registers */

/* `nv` vectors of acc are joined with those of x, `shift` further on. */
FC_INLINE void slide_further(vec *acc, const vec *x, const int nv, ptrdiff_t shift, const int join)
{
    const v_places places = v_places_from((int)shift);
    FC_UNROLL for (int v = 0; v < nv; v++)
        acc[v] = window_join(acc[v], v_part(x[v], x[v + 1], places), join);
}
#endif

/* kw vectors of numbers, c apart, joined in order. Where they are compared, what is not finite is
 * marked: the first and the last ones are all there is, unless there are others between them. */
FC_INLINE void slide_along(vec acc[SLIDE_VECTORS], vec wild[SLIDE_VECTORS], const real *x, ptrdiff_t kw,
                           ptrdiff_t c, const real *later, const int join)
{
    const ptrdiff_t marked = (kw - 1) * c <= SLIDE_STEP ? kw - 1 : 1;
    vec first[SLIDE_VECTORS + 2];
    ptrdiff_t s = 1;
    slide_first(first, x, later);
    slide_mark(wild, first, join);
    FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
        acc[v] = first[v];
#if V_PART
    if (join & WINDOW_NUMBERS && kw >= 6 && (kw - 1) * c <= LANES) {
        /* Two neighbours first: what they are joined to comes from registers by twos, and one number
         * may come twice. Numbers past the last are marked in vain. */
        vec two[SLIDE_VECTORS + 1];
        first[SLIDE_VECTORS] = first[SLIDE_VECTORS + 1] = v_load(x + SLIDE_STEP);
        filter_mark(wild, first[SLIDE_VECTORS]);
        FC_UNROLL for (int v = 0; v <= SLIDE_VECTORS; v++) /* the end of the last is not used */
            two[v] = first[v];
        slide_further(two, first, SLIDE_VECTORS + 1, c, join);
        FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
            acc[v] = two[v];
        for (s = 2; s < kw; s += 2)
            slide_further(acc, two, SLIDE_VECTORS, FC_MIN(s, kw - 2) * c, join);
        return;
    }
#endif
#if V_LATER && FC_BITS < 32
    if (c == 1) {
        first[SLIDE_VECTORS] = v_load(x + SLIDE_STEP);
        FC_UNROLL for (; s < SLIDE_LATER; s++) {
            if (s == kw)
                return;
            FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
                acc[v] = window_join(acc[v], filter_later(x, first, (int)s, v), join);
        }
        x += s - 1;
    }
#endif
    for (; s < kw; s++) {
        vec next[SLIDE_VECTORS];
        x += c;
        slide_next(next, first, x, s * c);
        FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++) {
            FC_KEEP(next[v]);
            acc[v] = window_join(acc[v], next[v], join);
        }
        if (s >= marked)
            slide_mark(wild, next, join);
    }
}

#if FC_BITS >= 32
/* kw vectors of numbers, c apart, summed: three of them first, then the sums of three, then what is
 * left. Sums of three further on are those of other numbers, and in registers already. */
FC_INLINE void slide_sum(vec acc[SLIDE_VECTORS], const real *x, ptrdiff_t kw, ptrdiff_t c,
                         const real *later)
{
    ptrdiff_t s = 0;
#if V_PART
    vec first[SLIDE_VECTORS + SLIDE_PAST + 1];
#else
    vec first[SLIDE_VECTORS];
#endif
    slide_first(first, x, later);
    FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
        acc[v] = first[v];
#if V_PART
    if (kw >= 6 && (kw - 1) * c <= SLIDE_PAST * LANES && 2 * c <= LANES) {
        const int nv = SLIDE_VECTORS + 1, far = (kw - 1) * c > LANES;
        vec three[SLIDE_VECTORS + SLIDE_PAST];
        first[nv - 1] = v_load(x + SLIDE_STEP);
        first[nv] = first[nv + 1] = v_load(x + SLIDE_STEP + (far ? LANES : 0));
        FC_UNROLL for (int v = 0; v <= nv; v++) /* the end of the last is not used */
            three[v] = first[v];
        slide_further(three, first, nv, c, FC_SUM);
        slide_further(three, first, nv, 2 * c, FC_SUM);
        if (far) {
            slide_further(three + nv, first + nv, 1, c, FC_SUM);
            slide_further(three + nv, first + nv, 1, 2 * c, FC_SUM);
        }
        FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
            acc[v] = three[v];
        for (s = 3; s + 3 <= kw && s * c <= LANES; s += 3)
            slide_further(acc, three, SLIDE_VECTORS, s * c, FC_SUM);
        for (; s + 3 <= kw; s += 3)
            slide_further(acc, three + 1, SLIDE_VECTORS, s * c - LANES, FC_SUM);
    }
#endif
    for (ptrdiff_t end; s < kw; s = end) {
        const int begin = s == 0;
        vec sum[SLIDE_VECTORS], next[SLIDE_VECTORS];
        slide_next(sum, first, x + s * c, s * c);
        for (end = s + 1; end < s + 3 && kw - s >= 3; end++) {
            slide_next(next, first, x + end * c, end * c);
            FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
                sum[v] = v_add(sum[v], next[v]);
        }
        FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
            acc[v] = begin ? sum[v] : v_add(acc[v], sum[v]);
    }
}
#endif

/* `joined` takes the source rows, each joined along itself. Did numbers meet what may be a NaN? Their results
 * are wrong then. */
FC_INLINE int slide_down(const struct filter_down *down, real *joined, const int join)
{
    const struct filter_down t = *down;
    const struct fc_filter2d p = *t.p; /* which no store can change */
    const ptrdiff_t pitch = p.ow * p.c * (ptrdiff_t)dtype_size(p.out_dtype);
    const int direct = p.out_dtype == REAL_DTYPE && t.count == SLIDE_STEP;
    const int stream = direct && filter_streams(&p);
    /* Rows are joined as they come: by twos where they are compared, which may happen twice to one,
     * by threes where they are summed and it comes out even. */
    const int twos = join != FC_SUM && p.kh > 1, threes = join == FC_SUM && p.kh % 3 == 0;
    const ptrdiff_t span = (twos ? 2 : threes ? 3 : 1) * SLIDE_STEP, far = p.kh * SLIDE_STEP - span;
    vec acc[SLIDE_VECTORS], along[SLIDE_VECTORS], wild[SLIDE_VECTORS];
    vec before[2][SLIDE_VECTORS]; /* the last row, and the two last ones joined */
    real last[SLIDE_STEP];
    FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
        wild[v] = before[0][v] = before[1][v] = v_set1(0);
    for (ptrdiff_t i = 0; i < t.rows + p.kh - 1; i++, joined += SLIDE_STEP) {
        const real *const x = (const real *)t.row[i] + t.x;
        const real *const later = (const real *)t.ahead[i] + t.later;
#if FC_BITS >= 32
        if (join == FC_SUM)
            slide_sum(along, x, p.kw, p.c, later);
        else
#endif
            slide_along(along, wild, x, p.kw, p.c, later, join);
        if (twos)
            FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++) {
                const vec now = along[v];
                along[v] = window_join(before[0][v], now, join);
                before[0][v] = now;
            }
        if (threes)
            FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++) {
                const vec now = along[v];
                along[v] = window_join(before[1][v], now, join);
                before[1][v] = window_join(before[0][v], now, join);
                before[0][v] = now;
            }
        FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
            v_store(joined + v * LANES, along[v]);
        if (i < p.kh - 1)
            continue;
        FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
            acc[v] = far ? v_load(joined - far + v * LANES) : along[v];
        for (const real *above = joined - far + span; above < joined; above += span)
            FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
                acc[v] = window_join(acc[v], v_load(above + v * LANES), join);
        if (far)
            FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
                acc[v] = window_join(acc[v], along[v], join);
        char *const out = t.out + (i - (p.kh - 1)) * pitch;
        real *const to = direct ? (real *)(void *)out : last;
        if (join == FC_SUM && p.scale != 1)
            FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
                acc[v] = slide_mean(acc[v], p.scale);
        FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
            filter_put(to + v * LANES, acc[v], stream);
        if (!direct)
            store_from_real(out, last, p.out_dtype, t.count);
    }
    int marked = 0;
    FC_UNROLL for (int v = 0; v < SLIDE_VECTORS; v++)
        marked |= filter_marked(wild[v]);
    return marked;
}

#if FC_BITS < 32
FC_INLINE void slide_wild(const struct filter_down *t, real *joined) { (void)t, (void)joined; }
#else
/* What may not be a number is compared. */
FC_SMALL void slide_wild(const struct filter_down *t, real *joined)
{
    if (t->p->reduction == FC_MAXIMUM)
        slide_down(t, joined, FC_MAXIMUM);
    else
        slide_down(t, joined, FC_MINIMUM);
}
#endif

static void slide(const struct filter_down *t, real *joined)
{
    int marked = 0;
    switch (t->p->reduction) {
    case FC_MAXIMUM: marked = slide_down(t, joined, FC_MAXIMUM | WINDOW_NUMBERS); break;
    case FC_MINIMUM: marked = slide_down(t, joined, FC_MINIMUM | WINDOW_NUMBERS); break;
#if FC_BITS >= 32
    default: slide_down(t, joined, FC_SUM);
#endif
    }
    if (marked)
        slide_wild(t, joined);
}

FC_SMALL size_t filter_slide_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return filter_rows_taken(p, SLIDE_STEP) +
           taken((p->block_rows + p->kh - 1) * SLIDE_STEP, sizeof(real));
}

static void filter_slide(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit), next = fc_filter_block(p, unit + 1);
        char *area = scratch;
        const ptrdiff_t head = filter_head(p, &b, p->out);
        const struct filter_rows rows = filter_rows(p, &b, SLIDE_STEP, head, &area);
        real *const joined = take(&area, (p->block_rows + p->kh - 1) * SLIDE_STEP, sizeof(real));
        for (ptrdiff_t x = 0; x < b.cols * p->c;) {
            const struct filter_down down = filter_down_at(p, &b, &next, &rows, x, head, SLIDE_STEP);
            slide(&down, joined);
            x += down.count;
        }
    }
    v_stream_end();
}
