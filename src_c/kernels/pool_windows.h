/* What poolings (pool.h) make of the rows that a line of windows sees: rows joined into a line, and
 * windows of columns along it, or straight from the rows. */

#define POOL_AHEAD (8192 / (ptrdiff_t)sizeof(real)) /* best of 1 to 16 KB, from memory */
#define POOL_CHUNK (512 / (ptrdiff_t)sizeof(real))  /* of rows of channels, fetched at once */
/* The next windows' rows are fetched where they lie so far ahead; nearer ones processors fetch themselves. */
#define POOL_NEAR (16384 / (ptrdiff_t)sizeof(real))
#define POOL_FAR (131072 / (ptrdiff_t)sizeof(real))
enum { POOL_ROWS = 8, POOL_FEW = 2 }; /* rows joined at once: most, and of windows that have more */
enum { POOL_VECS = 4 }; /* of channels that are joined together */

/* n elements of some rows joined into a line, after what it holds where it is `begun`. A line has
 * room for whole vectors. */
FC_INLINE void pool_join_rows(const real *const *rows, ptrdiff_t count, ptrdiff_t n, int begun,
                              real *line, const int pooling)
{
    const real *const first = rows[0], *const second = rows[FC_MIN(count - 1, 1)];
    const real *const last = rows[count - 1];
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec acc = v_load(begun ? line + i : first + i);
        FC_PREFETCH(last + i + POOL_AHEAD); /* of rows that are read again, the new one */
        if (begun) { /* one of many rows, all new unless windows overlap */
            FC_PREFETCH(first + i + POOL_AHEAD);
            acc = pool_join(acc, v_load(first + i), pooling);
        }
        for (ptrdiff_t j = 1; j < count; j++) {
            const real *const row = j == 1 ? second : rows[j];
            acc = pool_join(acc, v_load(row + i), pooling);
        }
        v_store(line + i, acc);
    }
    if (FC_BITS == 8 && i < n && i > 0) {
        /* Maxima may be taken twice, which is faster than some bytes of a vector. */
        vec acc = v_load(first + n - LANES);
        for (ptrdiff_t j = 1; j < count; j++)
            acc = pool_join(acc, v_load(rows[j] + n - LANES), pooling);
        v_store(line + n - LANES, begun ? pool_join(acc, v_load(line + n - LANES), pooling) : acc);
    } else if (i < n) {
        vec acc = begun ? v_load(line + i) : v_load_n(first + i, n - i);
        for (ptrdiff_t j = !begun; j < count; j++)
            acc = pool_join(acc, v_load_n(rows[j] + i, n - i), pooling);
        v_store(line + i, acc);
    }
}

/* Lines that are `pitch` apart, of `count` rows each, and what joins nothing after n elements. */
FC_INLINE void pool_join_lines(const real *const *rows, ptrdiff_t count, ptrdiff_t lines,
                               ptrdiff_t n, ptrdiff_t after, real *line, ptrdiff_t pitch,
                               const int pooling)
{
    /* Many rows are read as they lie in memory. */
    const ptrdiff_t most = count > POOL_ROWS ? POOL_FEW : POOL_ROWS;
    for (; lines > 0; lines--, rows += count, line += pitch) {
        if (LANES > 1 && count == 3)
            pool_join_rows(rows, 3, n, 0, line, pooling);
        else
            for (ptrdiff_t r = 0; r < count; r += most)
                pool_join_rows(rows + r, FC_MIN(most, count - r), n, r > 0, line, pooling);
        for (ptrdiff_t i = 0; i < after; i += LANES)
            v_store(line + n + i, v_set1(pool_identity(pooling)));
    }
}

/* Windows that are alike, in some lines: n in each, of k taps, `dilation` apart, each `stride`
 * after the last (all in elements), the first one from `start` on. Sums are divided by heights *
 * widths. */
struct pool_windows {
    const real *const *rows; /* of each line `count`, not joined yet where they are more than one */
    ptrdiff_t count, lines, start, k, stride, dilation, n, c;
    const real *heights, *widths;
    real *out;
    ptrdiff_t out_pitch;
    const real *spare; /* up to here outputs may be written that are written again */
    ptrdiff_t columns; /* of the image: pool_beside_line */
    int direct;        /* straight from their rows: pool_direct */
    ptrdiff_t fresh; /* the last rows, so many, are read for the first time: they are fetched, */
    ptrdiff_t ahead; /* so far ahead */
};

FC_INLINE vec pool_finish(vec acc, real height, const real *widths, const int pooling)
{
#if FC_BITS != 8
    if (pooling == FC_SUM_POOL)
        return v_div(acc, v_mul(v_set1(height), v_load(widths)));
#endif
    (void)height, (void)widths, (void)pooling;
    return acc;
}

/* The outputs of a vector, n or more of them wanted. */
FC_INLINE void pool_put(real *out, vec acc, ptrdiff_t n, const real *spare)
{
    if (n >= LANES || spare - out >= LANES)
        v_store(out, acc);
    else
        v_store_n(out, acc, n);
}

/* One vector of windows of k pixels, 1 or 2 columns apart. */
FC_INLINE vec pool_windows_at(const real *x, ptrdiff_t k, ptrdiff_t dilation, const int stride,
                              const int pooling)
{
    vec acc = v_set1(0);
    for (ptrdiff_t s = 0; s < k; s++, x += dilation) {
        vec first = v_load(x);
        if (stride == 1) {
            acc = s ? pool_join(acc, first, pooling) : first;
        } else {
            vec second = v_load(x + LANES), even;
            FC_KEEP(first);
            FC_KEEP(second);
            even = v_even(first, second);
            acc = s ? pool_join(acc, even, pooling) : even;
            if (dilation == 1 && s + 1 < k) { /* the same columns hold the next tap too */
                acc = pool_join(acc, v_odd(first, second), pooling);
                s++;
                x++;
            }
        }
    }
    return acc;
}

/* Pixels 1 or 2 columns apart, of lines that are read beyond their end; the caller knows both. */
FC_INLINE void pool_along(const struct pool_windows *w, ptrdiff_t k, ptrdiff_t dilation,
                          const int stride, const int pooling)
{
    const ptrdiff_t n = w->n;
    const real *const widths = w->widths, *const spare = w->spare;
    for (ptrdiff_t r = 0; r < w->lines; r++) {
        const real *const x = w->rows[r] + w->start;
        const real height = w->heights[r];
        real *const out = w->out + r * w->out_pitch;
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            vec acc = pool_windows_at(x + stride * i, k, dilation, stride, pooling);
            acc = pool_finish(acc, height, widths + i, pooling);
            pool_put(out + i, acc, n - i, spare);
        }
    }
}

#if LANES > 1
/* The columns 0, 1 and 2, 2 and 3 and 4, ... of even and odd ones, and the last one before them. */
FC_INLINE vec pool_join_triples(vec before, vec even, vec odd, const int pooling)
{
#if FC_BITS == 32
    return pool_join(pool_join(v_shift_in(before, odd), even, pooling), odd, pooling);
#else
    (void)before, (void)even, (void)pooling; /* windows of 3 columns are always joined to lines */
    return odd;
#endif
}

/* Two vectors of row j of windows of k columns, joined to those of the rows before it. */
FC_INLINE void pool_direct_row(vec *a, vec *b, const real *x, ptrdiff_t j, const int k,
                               const int pooling)
{
    const vec left = v_load(x), right = v_load(x + LANES);
    if (k == 2 || j > 0) { /* of 3, the first row is the last one of the line before */
        FC_PREFETCH(x + POOL_AHEAD);
        FC_PREFETCH(x + POOL_AHEAD + LANES);
    }
    *a = j ? pool_join(*a, left, pooling) : left;
    *b = j ? pool_join(*b, right, pooling) : right;
}

/* n windows of k = 2 or 3 columns, 2 apart, the first one from `start` on, straight from their rows,
 * of which there are `known` where that is not 0. One of 3 columns may begin in the padding; all end in
 * the image. */
FC_INLINE void pool_direct_line(const struct pool_windows *w, const real *const *rows, real height,
                                real *out, const int known, const int k, const int pooling)
{
    const ptrdiff_t n = w->n, start = w->start, first = start + k - 2;
    const ptrdiff_t count = known ? known : w->count;
    const real *const widths = w->widths, *const spare = w->spare;
    vec before = v_set1(pool_identity(pooling));
    if (k == 3 && start >= 0) {
        before = v_set1(rows[0][start]);
        for (ptrdiff_t j = 1; j < count; j++)
            before = pool_join(before, v_set1(rows[j][start]), pooling);
    }
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        vec a = before, b = before, even, odd, acc;
        FC_UNROLL for (int j = 0; j < known; j++)
            pool_direct_row(&a, &b, rows[j] + first + 2 * i, j, k, pooling);
        for (ptrdiff_t j = known; j < count; j++)
            pool_direct_row(&a, &b, rows[j] + first + 2 * i, j, k, pooling);
        even = v_even(a, b);
        odd = v_odd(a, b);
        acc = k == 2 ? pool_join(even, odd, pooling) : pool_join_triples(before, even, odd, pooling);
        before = odd;
        acc = pool_finish(acc, height, widths + i, pooling);
        pool_put(out + i, acc, n - i, spare);
    }
}

#if FC_BITS == 32
/* One column of 3 rows, in every lane. */
FC_INLINE vec pool_column(const real *const *rows, ptrdiff_t at, const int pooling)
{
    const vec acc = pool_join(v_set1(rows[0][at]), v_set1(rows[1][at]), pooling);
    return pool_join(acc, v_set1(rows[2][at]), pooling);
}

/* n windows of 3 columns beside each other, straight from 3 rows. The first may begin in the padding
 * and the last end there, by one column. */
FC_INLINE void pool_beside_line(const struct pool_windows *w, const real *const *rows, real height,
                                real *out, const int pooling)
{
    static const real lane[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vec nothing = v_set1(pool_identity(pooling));
    const ptrdiff_t n = w->n, first = w->start + 2, inside = w->columns - first;
    const real *const widths = w->widths, *const spare = w->spare;
    /* The columns that windows of a vector begin with, go on and end with. */
    vec left = w->start >= 0 ? pool_column(rows, w->start, pooling) : nothing;
    vec right = pool_column(rows, first - 1, pooling);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t at = first + i;
        vec acc = pool_join(v_load(rows[0] + at), v_load(rows[1] + at), pooling), middle;
        acc = pool_join(acc, v_load(rows[2] + at), pooling);
        if (i + LANES > inside)
            acc = v_if_less(v_load(lane), v_set1((real)(inside - i)), acc, nothing);
        middle = v_shift_in(right, acc);
        right = acc;
        acc = pool_join(pool_join(v_shift_in(left, middle), middle, pooling), acc, pooling);
        left = middle;
        pool_put(out + i, pool_finish(acc, height, widths + i, pooling), n - i, spare);
    }
}
#endif

/* Lines of them. */
FC_INLINE void pool_direct(const struct pool_windows *w, const int k, const int pooling)
{
    for (ptrdiff_t r = 0; r < w->lines; r++)
        pool_direct_line(w, w->rows + r * w->count, w->heights[r], w->out + r * w->out_pitch, 0, k,
                         pooling);
}
#endif

/* Pixels farther apart: windows at every column of a vector, of which some are outputs. */
FC_INLINE void pool_along_far(const struct pool_windows *w, const int pooling)
{
    const ptrdiff_t each = FC_MAX(LANES / w->stride, 1);
    for (ptrdiff_t r = 0; r < w->lines; r++)
        for (ptrdiff_t i = 0; i < w->n; i += each) {
            const real *const x = w->rows[r] + w->start + i * w->stride;
            const ptrdiff_t n = FC_MIN(each, w->n - i);
            real *const out = w->out + r * w->out_pitch + i;
            real lanes[LANES];
            vec acc = v_load(x);
            for (ptrdiff_t s = 1; s < w->k; s++)
                acc = pool_join(acc, v_load(x + s * w->dilation), pooling);
            v_store(lanes, acc);
            for (ptrdiff_t j = 0; j < n; j++) {
                const real y = lanes[j * w->stride], divisor = w->heights[r] * w->widths[i + j];
                out[j] = pooling == FC_SUM_POOL ? (real)(y / divisor) : y;
            }
        }
}

/* The windows of most networks as constants. */
FC_INLINE void pool_pixels(const struct pool_windows *w, const int pooling)
{
    const int usual = LANES > 1 && w->k == 3 && w->dilation == 1;
#if LANES > 1
    if (w->direct) {
        if (w->k == 2)
            pool_direct(w, 2, pooling);
        else if (FC_BITS == 32)
            pool_direct(w, 3, pooling);
        return;
    }
#endif
    if (w->stride > 2)
        pool_along_far(w, pooling);
    else if (w->stride == 1 && usual)
        pool_along(w, 3, 1, 1, pooling);
    else if (w->stride == 1)
        pool_along(w, w->k, w->dilation, 1, pooling);
    else
        pool_along(w, w->k, w->dilation, 2, pooling);
}

/* One output of `vecs` vectors of channels, the last one of n or more; `at` is the first tap. */
FC_INLINE void pool_channels(const struct pool_windows *w, const real *const *rows, ptrdiff_t at,
                             ptrdiff_t n, vec divisor, real *out, const int vecs, const int pooling)
{
    vec acc[POOL_VECS], tap[POOL_VECS];
    (void)divisor; /* of sums */
    FC_UNROLL for (int v = 0; v < vecs; v++)
        acc[v] = v_set1(pool_identity(pooling));
    for (ptrdiff_t s = 0; s < w->k; s++, at += w->dilation) {
        const real *x = rows[0] + at;
        FC_UNROLL for (int v = 0; v < vecs; v++)
            tap[v] = vecs > 1 || n >= LANES ? v_load(x + v * LANES) : v_load_n(x, n);
        for (ptrdiff_t t = 1; t < w->count; t++) {
            x = rows[t] + at;
            FC_UNROLL for (int v = 0; v < vecs; v++) {
                const vec row = vecs > 1 || n >= LANES ? v_load(x + v * LANES) : v_load_n(x, n);
                tap[v] = pool_join(tap[v], row, pooling);
            }
        }
        FC_UNROLL for (int v = 0; v < vecs; v++)
            acc[v] = s ? pool_join(acc[v], tap[v], pooling) : tap[v];
    }
    FC_UNROLL for (int v = 0; v < vecs; v++) {
#if FC_BITS != 8
        if (pooling == FC_SUM_POOL)
            acc[v] = v_div(acc[v], divisor);
#endif
        if (vecs > 1 || n >= LANES)
            v_store(out + v * LANES, acc[v]);
        else
            v_store_n(out, acc[v], n);
    }
}

/* To the element, so single pixels near an edge go this way, too. */
FC_INLINE void pool_pixels_apart(const struct pool_windows *w, const int pooling)
{
    for (ptrdiff_t r = 0; r < w->lines; r++) {
        const real *const *const rows = w->rows + r * w->count;
        ptrdiff_t at = w->start, fetched = at;
        for (ptrdiff_t i = 0; i < w->n; i++, at += w->stride) {
            const ptrdiff_t c = w->c;
            const vec divisor = v_set1(w->heights[r] * w->widths[i]);
            real *const out = w->out + r * w->out_pitch + i * c;
            ptrdiff_t j = 0;
            for (; fetched < at + w->stride; fetched += POOL_CHUNK)
                for (ptrdiff_t t = w->count - w->fresh; t < w->count; t++)
                    for (ptrdiff_t e = 0; e < POOL_CHUNK; e += 64 / (ptrdiff_t)sizeof(real))
                        FC_PREFETCH(rows[t] + fetched + e + w->ahead);
            for (; LANES > 1 && j + POOL_VECS * LANES <= c; j += POOL_VECS * LANES)
                pool_channels(w, rows, at + j, LANES, divisor, out + j, POOL_VECS, pooling);
            for (; j < c; j += LANES)
                pool_channels(w, rows, at + j, c - j, divisor, out + j, 1, pooling);
        }
    }
}

FC_NOINLINE void pool_lines_of(int pooling, const real *const *rows, ptrdiff_t count,
                               ptrdiff_t lines, ptrdiff_t n, ptrdiff_t after, real *line,
                               ptrdiff_t pitch)
{
    POOL_CALL(pool_join_lines, pooling, rows, count, lines, n, after, line, pitch);
}

FC_NOINLINE void pool_pixels_of(const struct fc_pool *p, const struct pool_windows *w)
{
    POOL_CALL(pool_pixels, p->pooling, w);
}

FC_NOINLINE void pool_apart_of(const struct fc_pool *p, const struct pool_windows *w)
{
    POOL_CALL(pool_pixels_apart, p->pooling, w);
}
