/* Poolings of whole planes of one channel: element i joins sum i modulo 256 bytes; halves of those
 * sums join halves until 64 bytes are left, and of these neighbours join neighbours: the same order
 * for vectors of every length. Many planes do the last steps together. */

enum { GLOBAL_HALVES = 2, GLOBAL_VECS = 256 / sizeof(vec), GLOBAL_LAST = GLOBAL_VECS >> GLOBAL_HALVES };
enum { GLOBAL_LONG = 16 }; /* times so many sums are a long plane */
#define GLOBAL_AHEAD (4096 / (ptrdiff_t)sizeof(real))

/* The first n elements of x, less than a vector, and then what joins nothing. */
FC_INLINE vec pool_pad(const real *x, ptrdiff_t n, const int pooling)
{
    const real nothing = pool_identity(pooling);
    real padded[LANES];
    if (nothing == 0)
        return v_load_n(x, n);
    v_store(padded, v_set1(nothing));
    v_store_n(padded, v_load_n(x, n), n);
    return v_load(padded);
}

/* Neighbours joined: those of a, then those of b. */
FC_INLINE vec pool_join_pairs(vec a, vec b, const int pooling)
{
    return pool_join(v_even(a, b), v_odd(a, b), pooling);
}

/* The last 64 bytes of sums of n elements as one vector, or their pairs in shorter vectors. Loads of long planes
 * begin where vectors do in memory, as half the pace is what others cost: sums lie `before` places further then,
 * and are turned back in the end. */
FC_INLINE vec pool_plane_sums(const real *x, ptrdiff_t n, const int pooling)
{
    enum { STEP = GLOBAL_VECS * LANES };
    const ptrdiff_t off = (ptrdiff_t)((uintptr_t)x % sizeof(vec) / sizeof(real));
    const ptrdiff_t before = n >= GLOBAL_LONG * STEP ? off : 0;
    vec acc[GLOBAL_VECS];
    real turned[2 * STEP];
    FC_UNROLL for (int v = 0; v < GLOBAL_VECS; v++)
        acc[v] = v_set1(pool_identity(pooling));
    if (before) {
        v_store(turned, acc[0]);
        v_store_n(turned + before, v_load_n(x, LANES - before), LANES - before);
        FC_UNROLL for (int v = 0; v < GLOBAL_VECS; v++)
            acc[v] = pool_join(acc[v], v ? v_load(x + v * LANES - before) : v_load(turned), pooling);
        x += STEP - before;
        n -= STEP - before;
    }
    for (; n >= STEP; n -= STEP, x += STEP)
        FC_UNROLL for (int v = 0; v < GLOBAL_VECS; v++)
            acc[v] = pool_join(acc[v], v_load(x + v * LANES), pooling);
    FC_UNROLL for (int v = 0; v < GLOBAL_VECS; v++) {
        FC_PREFETCH(x + v * LANES + GLOBAL_AHEAD); /* planes to come, where they are short */
        if (n >= (v + 1) * LANES)
            acc[v] = pool_join(acc[v], v_load(x + v * LANES), pooling);
    }
    if (n % LANES) {
        const vec last = pool_pad(x + n / LANES * LANES, n % LANES, pooling);
        FC_UNROLL for (int v = 0; v < GLOBAL_VECS; v++)
            if (n / LANES == v)
                acc[v] = pool_join(acc[v], last, pooling);
    }
    if (before) {
        FC_UNROLL for (int v = 0; v < 2 * GLOBAL_VECS; v++)
            v_store(turned + v * LANES, acc[v % GLOBAL_VECS]);
        FC_UNROLL for (int v = 0; v < GLOBAL_VECS; v++)
            acc[v] = v_load(turned + v * LANES + before);
    }
    FC_UNROLL for (int i = 1; i <= GLOBAL_HALVES; i++)
        FC_UNROLL for (int v = 0; v < GLOBAL_VECS >> i; v++)
            acc[v] = pool_join(acc[v], acc[v + (GLOBAL_VECS >> i)], pooling);
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
