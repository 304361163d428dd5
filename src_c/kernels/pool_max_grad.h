/* The gradient of a maximum of 2x2 pixels that no other window sees, by far the most usual one: the
 * maxima are found again, which takes less time than to write down where they stand.
 *
 * `x` is the gradient by the outputs, `starts` what was pooled. The first of equals is the maximum,
 * or the last NaN, as in pool_argmax.h. */

/* t where x, the tap of this number, replaces the best so far, else at. */
FC_INLINE vec max_grad_at(vec best, vec x, real t, vec at)
{
    const vec tap = v_set1(t);
    /* Whatever is not below 1 and not above 0 is a NaN. */
    const vec unordered = v_if_less(x, v_set1(1), at, v_if_less(v_set1(0), x, at, tap));
    return v_if_less(best, x, tap, unordered);
}

FC_INLINE void max_grad_store(real *to, vec even, vec odd, ptrdiff_t n)
{
    const vec low = v_zip_low(even, odd), high = v_zip_high(even, odd);
    if (n >= 2 * LANES) {
        v_store(to, low);
        v_store(to + LANES, high);
        return;
    }
    if (n >= LANES)
        v_store(to, low);
    else
        v_store_n(to, low, n);
    if (n > LANES)
        v_store_n(to + LANES, high, n - LANES);
}

/* A row of windows, of the pixels of two lines. */
static void pool_max_grad_row(const real *dy, const real *x, ptrdiff_t o, ptrdiff_t width, real *dx)
{
    const vec zero = v_set1(0), half = v_set1((real)0.5);
    for (ptrdiff_t i = 0; i < o; i += LANES) {
        const ptrdiff_t n = FC_MIN(2 * (o - i), 2 * LANES);
        /* -0 becomes 0, as where gradients are added to zeros. */
        const vec g = v_add(load_up_to(dy, i, o), zero);
        vec tap[4], at = zero, best;
        for (int row = 0; row < 2; row++) {
            const real *const line = x + row * width + 2 * i;
            const vec a = load_up_to(line, 0, n), b = load_up_to(line, LANES, n);
            tap[2 * row] = v_even(a, b);
            tap[2 * row + 1] = v_odd(a, b);
        }
        best = tap[0];
        FC_UNROLL for (int t = 1; t < 4; t++) {
            at = max_grad_at(best, tap[t], (real)t, at);
            best = v_max(best, tap[t]);
        }
        FC_UNROLL for (int t = 0; t < 4; t++)
            tap[t] = v_if_less(v_abs(v_sub(at, v_set1((real)t))), half, g, zero);
        max_grad_store(dx + 2 * i, tap[0], tap[1], n);
        max_grad_store(dx + width + 2 * i, tap[2], tap[3], n);
    }
}

/* A unit is a plane. What no window sees stays zero. */
static void pool_max_grad(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    const ptrdiff_t width = p->w.n, pixels = p->h.n * width, o = p->w.o;
    (void)scratch;
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const real *dy = (const real *)p->x + plane * p->h.o * o;
        const real *x = (const real *)p->starts + plane * pixels;
        real *dx = (real *)p->out + plane * pixels;
        if (pixels > 4 * p->h.o * o)
            memset(dx, 0, (size_t)pixels * sizeof(real));
        for (ptrdiff_t y = 0; y < p->h.o; y++, dy += o, x += 2 * width, dx += 2 * width)
            pool_max_grad_row(dy, x, o, width, dx);
    }
}
