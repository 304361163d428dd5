/* Max and min pooling that also say where each result stands, as an index into the (d, h, w)
 * volume: the first of equals, the last NaN of several (as PyTorch); -1 and what never wins where a
 * window holds no data. */

struct pool_best {
    real value;
    int64_t at;
};

/* Does x replace the best so far? A NaN does. */
FC_INLINE int pool_beats(real x, real best, int pooling)
{
#if FC_BITS == 8
    return pooling == FC_MAX_POOL ? x > best : x < best;
#else
    return isnan(x) || (pooling == FC_MAX_POOL ? x > best : x < best);
#endif
}

/* What a window without data gives. */
FC_INLINE real pool_never(int pooling)
{
#if FC_BITS == 8
    return pooling == FC_MAX_POOL ? 0 : UINT8_MAX;
#else
    return (real)(pooling == FC_MAX_POOL ? -INFINITY : INFINITY);
#endif
}

/* A window: the taps inside of each axis. */
struct pool_place {
    struct pool_span depth, rows, cols;
};

/* Pixel (d, r, 0) of a window in its volume. */
FC_INLINE ptrdiff_t pool_pixel(const struct fc_pool *p, const struct pool_place *w, ptrdiff_t d,
                               ptrdiff_t r)
{
    const ptrdiff_t z = w->depth.first + d * p->d.dilation;
    return (z * p->h.n + w->rows.first + r * p->h.dilation) * p->w.n + w->cols.first;
}

/* Of one channel of a window. */
FC_NOINLINE struct pool_best pool_best(const struct fc_pool *p, const real *x,
                                       const struct pool_place *w)
{
    const ptrdiff_t dilation = p->w.dilation, c = p->c;
    struct pool_best best = {pool_never(p->pooling), -1};
    for (ptrdiff_t d = 0; d < w->depth.count; d++)
        for (ptrdiff_t r = 0; r < w->rows.count; r++) {
            const ptrdiff_t first = pool_pixel(p, w, d, r);
            for (ptrdiff_t s = 0; s < w->cols.count; s++) {
                const ptrdiff_t i = first + s * dilation;
                if (best.at < 0 || pool_beats(x[i * c], best.value, p->pooling))
                    best = (struct pool_best){x[i * c], i};
            }
        }
    return best;
}

/* n > 0 outputs, of pixels or of channels: `step` elements from one's window to the next one's. */
static void pool_best_each(const struct fc_pool *p, const real *x, const struct pool_place *w,
                           ptrdiff_t step, ptrdiff_t n, real *out, int64_t *indices)
{
    const ptrdiff_t pixel = p->c > 1 ? 0 : step; /* an index counts pixels */
    for (ptrdiff_t i = 0; i < n; i++) {
        const struct pool_best best = pool_best(p, x + i * step, w);
        out[i] = best.value;
        indices[i] = best.at < 0 ? -1 : best.at + i * pixel;
    }
}

#if FC_BITS == 32
/* Elements 0, step, 2 * step, ... of x: n of them, of a vector. */
FC_INLINE vec pool_load_apart(const real *x, ptrdiff_t step, ptrdiff_t n)
{
    real lanes[LANES] = {0};
    if (step == 1)
        return n >= LANES ? v_load(x) : v_load_n(x, n);
    if (LANES > 1 && step == 2 && n > LANES / 2)
        return v_even(v_load(x), v_load_n(x + LANES, 2 * n - 1 - LANES));
    if (LANES > 1 && step == 2)
        return v_even(v_load_n(x, 2 * n - 1), v_set1(0));
    for (ptrdiff_t i = 0; i < n; i++)
        lanes[i] = x[i * step];
    return v_load(lanes);
}

/* The same for a vector of at most LANES outputs, whose windows hold data. Beside each best element
 * stays how far it is from its window's first, as a float: exact below 2**24. */
FC_INLINE void pool_best_vector(const struct fc_pool *p, const real *x, const struct pool_place *w,
                                ptrdiff_t step, ptrdiff_t n, real *out, int64_t *indices,
                                const int pooling)
{
    const ptrdiff_t origin = pool_pixel(p, w, 0, 0), c = p->c, pixel = c > 1 ? 0 : step;
    const ptrdiff_t rows = w->rows.count, cols = w->cols.count, dilation = p->w.dilation;
    vec best = pool_load_apart(x + origin * c, step, n), at = v_set1(0), zero = v_set1(0);
    real far[LANES], zeros[LANES];
    int64_t all[LANES];
    int finite = 1;
    for (ptrdiff_t d = 0; d < w->depth.count; d++)
        for (ptrdiff_t r = 0; r < rows; r++) {
            ptrdiff_t i = pool_pixel(p, w, d, r);
            for (ptrdiff_t s = 0; s < cols; s++, i += dilation) {
                const vec value = pool_load_apart(x + i * c, step, n);
                const vec lower = pooling == FC_MAX_POOL ? best : value;
                const vec upper = pooling == FC_MAX_POOL ? value : best;
                at = v_if_less(lower, upper, v_set1((real)(i - origin)), at);
                best = v_if_less(lower, upper, value, best);
                zero = v_fma(value, v_set1(0), zero);
            }
        }
    v_store(zeros, zero);
    v_store(far, at);
    for (ptrdiff_t j = 0; j < LANES; j++)
        finite &= zeros[j] == 0;
    if (!finite) { /* there may be a NaN */
        pool_best_each(p, x, w, step, n, out, indices);
        return;
    }
    if (n >= LANES)
        v_store(out, best);
    else
        v_store_n(out, best, n);
    for (ptrdiff_t j = 0; j < LANES; j++)
        all[j] = origin + j * pixel + (int32_t)far[j];
    if (n >= LANES)
        memcpy(indices, all, sizeof(all));
    else
        memcpy(indices, all, (size_t)n * sizeof(int64_t));
}

static void pool_best_vectors(const struct fc_pool *p, const real *x, const struct pool_place *w,
                              ptrdiff_t step, ptrdiff_t n, real *out, int64_t *indices)
{
    struct pool_place at = *w;
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t some = FC_MIN(n - i, LANES);
        const real *const channel = x + (p->c > 1 ? i : 0);
        if (p->c == 1)
            at.cols.first = w->cols.first + i * step;
        if (p->pooling == FC_MAX_POOL)
            pool_best_vector(p, channel, &at, step, some, out + i, indices + i, FC_MAX_POOL);
        else
            pool_best_vector(p, channel, &at, step, some, out + i, indices + i, FC_MIN_POOL);
    }
}
#else
#define pool_best_vectors pool_best_each
#endif

/* n outputs of a row from the window on, which all hold as many taps, or channels of one. */
static void pool_best_run(const struct fc_pool *p, const real *x, const struct pool_place *w,
                          ptrdiff_t step, ptrdiff_t n, real *out, int64_t *indices)
{
    const ptrdiff_t taps = w->depth.count * w->rows.count * w->cols.count;
    const ptrdiff_t rows = (w->depth.count * p->d.dilation + 1) * p->h.n +
                           w->rows.count * p->h.dilation;
    const ptrdiff_t reach = rows * p->w.n + w->cols.count * p->w.dilation;
    if (taps > 0 && reach < 1 << 24)
        pool_best_vectors(p, x, w, step, n, out, indices);
    else
        pool_best_each(p, x, w, step, n, out, indices);
}

/* A row of outputs, the first of them at `at`, of windows that begin anywhere: each channel has its
 * own. Indices may not be asked for. */
static void pool_best_anywhere(const struct fc_pool *p, const real *x, ptrdiff_t plane,
                               ptrdiff_t row, ptrdiff_t at)
{
    const ptrdiff_t size = p->d.o + p->h.o + p->w.o;
    const int64_t *depth = (const int64_t *)p->starts + plane * p->c * size;
    for (ptrdiff_t c = 0; c < p->c; c++, depth += size) {
        const int64_t *const rows = depth + p->d.o, *const cols = rows + p->h.o;
        struct pool_place w = {{(ptrdiff_t)depth[row / p->h.o], p->d.k},
                               {(ptrdiff_t)rows[row % p->h.o], p->h.k},
                               {0, p->w.k}};
        for (ptrdiff_t i = 0; i < p->w.o; i++) {
            const ptrdiff_t to = at + i * p->c + c;
            w.cols.first = (ptrdiff_t)cols[i];
            const struct pool_best best = pool_best(p, x + c, &w);
            ((real *)p->out)[to] = best.value;
            if (p->indices)
                p->indices[to] = best.at;
        }
    }
}

static void pool_argmax(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    const struct pool_range whole = pool_whole(&p->w, 0, p->w.n);
    (void)scratch;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t first, last;
        const ptrdiff_t plane = pool_unit(p, unit, &first, &last);
        const real *const x = (const real *)p->x + plane * p->d.n * p->h.n * p->w.n * p->c;
        for (ptrdiff_t row = first; row < last; row++) {
            const ptrdiff_t line = (plane * p->d.o * p->h.o + row) * p->w.o * p->c;
            struct pool_place w = {.depth = pool_window(&p->d, row / p->h.o),
                                   .rows = pool_window(&p->h, row % p->h.o)};
            if (p->starts) {
                pool_best_anywhere(p, x, plane, row, line);
                continue;
            }
            for (ptrdiff_t i = 0, n; i < p->w.o; i += n) {
                const ptrdiff_t at = line + i * p->c;
                const int alike = p->c == 1 && i >= whole.begin && i < whole.end;
                n = alike ? whole.end - i : 1;
                w.cols = pool_window(&p->w, i);
                pool_best_run(p, x, &w, p->c > 1 ? 1 : p->w.stride, p->c > 1 ? p->c : n,
                              (real *)p->out + at, p->indices + at);
            }
        }
    }
}
