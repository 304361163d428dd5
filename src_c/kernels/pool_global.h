/* Poolings of whole planes of one channel: element i joins sum i modulo 128 bytes; halves of those
 * sums join halves until 64 bytes are left, and of these neighbours join neighbours: the same order
 * for vectors of every length. Many planes do the last steps together. */

enum { GLOBAL_VECS = 128 / sizeof(vec), GLOBAL_LAST = 64 / sizeof(vec) };

/* The first n elements of x, and then what joins nothing, as many as there are sums. */
FC_INLINE void pool_pad(real *last, const real *x, ptrdiff_t n, const int pooling)
{
    const real nothing = pool_identity(pooling);
    for (ptrdiff_t i = 0; i < GLOBAL_VECS * LANES; i += LANES) {
        const ptrdiff_t rest = n - i;
        if (nothing == 0 && rest > 0) {
            v_store(last + i, rest >= LANES ? v_load(x + i) : v_load_n(x + i, rest));
            continue;
        }
        v_store(last + i, rest >= LANES ? v_load(x + i) : v_set1(nothing));
        if (rest > 0 && rest < LANES)
            v_store_n(last + i, v_load_n(x + i, rest), rest);
    }
}

/* Neighbours joined: those of a, then those of b. */
FC_INLINE vec pool_join_pairs(vec a, vec b, const int pooling)
{
    return pool_join(v_even(a, b), v_odd(a, b), pooling);
}

/* The last 64 bytes of sums of n elements as one vector, or their pairs in shorter vectors. */
FC_INLINE vec pool_plane_sums(const real *x, ptrdiff_t n, const int pooling)
{
    enum { STEP = GLOBAL_VECS * LANES };
    vec acc[GLOBAL_VECS];
    real last[STEP];
    FC_UNROLL for (int v = 0; v < GLOBAL_VECS; v++)
        acc[v] = v_set1(pool_identity(pooling));
    for (; n > 0; n -= STEP, x += STEP) {
        if (n < STEP) {
            pool_pad(last, x, n, pooling);
            x = last;
        }
        FC_UNROLL for (int v = 0; v < GLOBAL_VECS; v++)
            acc[v] = pool_join(acc[v], v_load(x + v * LANES), pooling);
    }
    for (int half = GLOBAL_VECS / 2; half >= GLOBAL_LAST; half /= 2)
        for (int v = 0; v < half; v++)
            acc[v] = pool_join(acc[v], acc[v + half], pooling);
    for (int half = GLOBAL_LAST / 2; half > 0; half /= 2)
        for (int v = 0; v < half; v++)
            acc[v] = pool_join_pairs(acc[2 * v], acc[2 * v + 1], pooling);
    return acc[0];
}

/* LANES planes of one channel: `count` of them, and none. */
FC_INLINE void pool_global_planes(const real *x, ptrdiff_t n, ptrdiff_t count, real divisor,
                                  real *out, const int pooling)
{
    vec sums[LANES];
    for (ptrdiff_t i = 0; i < LANES; i++)
        sums[i] = i < count ? pool_plane_sums(x + i * n, n, pooling) : v_set1(0);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] = pool_join_pairs(sums[2 * i], sums[2 * i + 1], pooling);
#if FC_BITS != 8
    if (pooling == FC_SUM_POOL)
        sums[0] = v_div(sums[0], v_set1(divisor));
#endif
    (void)divisor;
    if (count >= LANES)
        v_store(out, sums[0]);
    else
        v_store_n(out, sums[0], count);
}

FC_INLINE void pool_global_units(const struct fc_pool *p, ptrdiff_t begin, ptrdiff_t end,
                                 const int pooling)
{
    const ptrdiff_t n = p->d.n * p->h.n * p->w.n;
    const real divisor = (real)(p->divisor != 0 ? p->divisor : (double)n);
    for (ptrdiff_t plane = begin; plane < end; plane += LANES)
        pool_global_planes((const real *)p->x + plane * n, n, FC_MIN(LANES, end - plane), divisor,
                           (real *)p->out + plane, pooling);
}

static void pool_global(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    (void)scratch;
    POOL_CALL(pool_global_units, p->pooling, p, begin, end);
}

static ptrdiff_t pool_planes(const void *params)
{
    return ((const struct fc_pool *)params)->planes;
}

FC_SMALL size_t pool_no_scratch(const void *params)
{
    (void)params;
    return 0;
}
