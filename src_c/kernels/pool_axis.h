/* Where the windows of a pooling lie, one axis at a time. */

/* Of a window's taps first, first + dilation, ... : those inside the image. */
struct pool_span {
    ptrdiff_t first, count;
};

/* The taps start + i * dilation, i < k, that lie in [low, high). */
FC_NOINLINE struct pool_span pool_clip(ptrdiff_t start, ptrdiff_t k, ptrdiff_t dilation,
                                       ptrdiff_t low, ptrdiff_t high)
{
    ptrdiff_t from = 0, to = k;
    if (start < low)
        from = FC_MIN(k, ceil_div(low - start, dilation));
    if (start + (k - 1) * dilation >= high)
        to = FC_MAX(from, start < high ? ceil_div(high - start, dilation) : 0);
    return (struct pool_span){start + from * dilation, to - from};
}

FC_NOINLINE struct pool_span pool_window_anywhere(const struct fc_axis *a, ptrdiff_t i)
{
    if (a->k == 0) {
        const ptrdiff_t first = i * a->n / a->o;
        return (struct pool_span){first, ceil_div((i + 1) * a->n, a->o) - first};
    }
    return pool_clip(i * a->stride - a->before, a->k, a->dilation, 0, a->n);
}

/* Window i of an axis; adaptive ones have no k. */
FC_INLINE struct pool_span pool_window(const struct fc_axis *a, ptrdiff_t i)
{
    const ptrdiff_t start = i * a->stride - a->before;
    if (a->k > 0 && start >= 0 && start + (a->k - 1) * a->dilation < a->n)
        return (struct pool_span){start, a->k};
    return pool_window_anywhere(a, i);
}

/* How many of its taps an average counts. */
FC_NOINLINE ptrdiff_t pool_counted(const struct fc_pool *p, const struct fc_axis *a, ptrdiff_t i)
{
    if (a->k == 0 || !p->count_include_pad)
        return pool_window(a, i).count;
    return pool_clip(i * a->stride - a->before, a->k, a->dilation, -a->before, a->n + a->after)
        .count;
}

/* What an average over window (z, y, .) divides by, but for its columns. */
static real pool_height(const struct fc_pool *p, ptrdiff_t z, ptrdiff_t y)
{
    if (p->divisor != 0)
        return (real)p->divisor;
    return (real)(pool_counted(p, &p->d, z) * pool_counted(p, &p->h, y));
}

/* And for its columns. */
FC_NOINLINE real pool_width(const struct fc_pool *p, ptrdiff_t i)
{
    return p->divisor != 0 ? 1 : (real)pool_counted(p, &p->w, i);
}

#if LANES == 1 || FC_BITS == 32
/* A unit is some rows of outputs of one plane. */
static ptrdiff_t pool_units(const void *params)
{
    const struct fc_pool *p = params;
    return p->planes * ceil_div(p->d.o * p->h.o, p->block_rows);
}

#endif

/* Rows [*begin, *end) of a unit, counted over the whole plane; gives the plane. */
FC_INLINE ptrdiff_t pool_unit(const struct fc_pool *p, ptrdiff_t unit, ptrdiff_t *begin,
                              ptrdiff_t *end)
{
    const ptrdiff_t rows = p->d.o * p->h.o, blocks = ceil_div(rows, p->block_rows);
    *begin = unit % blocks * p->block_rows;
    *end = FC_MIN(*begin + p->block_rows, rows);
    return unit / blocks;
}

/* The operation of a pooling on two elements, in vectors. A minimum is the largest of what it turns
 * around. A window without data gives its identity: never the largest, nothing to a sum. */
FC_INLINE real pool_identity(const int pooling)
{
#if FC_BITS == 8
    (void)pooling;
    return 0;
#else
    return pooling == FC_SUM_POOL ? 0 : (real)-INFINITY;
#endif
}

FC_INLINE vec pool_join(vec acc, vec x, const int pooling)
{
#if FC_BITS != 8
    if (pooling == FC_SUM_POOL)
        return v_add(acc, x);
#endif
    (void)pooling;
    return v_max(acc, x);
}

/* A call of one operation's instance of a function; uint8 is never summed as it is. */
#if FC_BITS == 8
#define POOL_CALL(function, pooling, ...) function(__VA_ARGS__, FC_MAX_POOL)
#else
#define POOL_CALL(function, pooling, ...)                              \
    do {                                                               \
        if ((pooling) == FC_SUM_POOL)                                  \
            function(__VA_ARGS__, FC_SUM_POOL);                        \
        else                                                           \
            function(__VA_ARGS__, FC_MAX_POOL);                        \
    } while (0)
#endif
