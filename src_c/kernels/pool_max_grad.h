/* The gradient of a maximum of 2x2 pixels that no other window sees, by far the most usual one: the
 * maxima are found again, which takes less time than to write down where they stand. Of single pixels
 * it is a ReLU's, if those above zero alone have one.
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

/* A vector of windows, whose gradient is g, of the pixels of two lines: n numbers of each from x on, and m
 * from `second` numbers further on. */
FC_NOINLINE void pool_max_grad_vector(vec g, const real *x, ptrdiff_t width, ptrdiff_t n, ptrdiff_t second,
                                      ptrdiff_t m, real *dx, int positive)
{
    const vec zero = v_set1(0), half = v_set1((real)0.5);
    vec tap[4], at = zero, best;
    FC_UNROLL for (int row = 0; row < 2; row++) {
        const real *const line = x + row * width;
        const vec a = load_up_to(line, 0, n), b = load_up_to(line + second, 0, m);
        tap[2 * row] = v_even(a, b);
        tap[2 * row + 1] = v_odd(a, b);
    }
    best = tap[0];
    g = v_add(g, zero); /* -0 becomes 0, as where gradients are added to zeros */
    FC_UNROLL for (int t = 1; t < 4; t++) {
        at = max_grad_at(best, tap[t], (real)t, at);
        best = v_max(best, tap[t]);
    }
    if (positive)
        g = v_if_less(zero, best, g, zero);
    FC_UNROLL for (int t = 0; t < 4; t++)
        tap[t] = v_if_less(v_abs(v_sub(at, v_set1((real)t))), half, g, zero);
    FC_UNROLL for (int row = 0; row < 2; row++) {
        real *const line = dx + row * width;
        store_up_to(line, 0, n, v_zip_low(tap[2 * row], tap[2 * row + 1]));
        store_up_to(line + second, 0, m, v_zip_high(tap[2 * row], tap[2 * row + 1]));
    }
}

/* A unit is a plane. What no window sees stays zero. Of short rows two fill a vector: of at most so many
 * windows. */
#define MAX_GRAD_PAIR (LANES / 2)
static void pool_max_grad(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    const ptrdiff_t width = p->w.n, pixels = p->h.n * width, o = p->w.o;
    real both[LANES];
    (void)scratch;
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const real *dy = (const real *)p->x + plane * p->h.o * o;
        const real *x = (const real *)p->starts + plane * pixels;
        real *dx = (real *)p->out + plane * pixels;
        if (p->w.k == 1) {
            assert(p->positive);
            for (ptrdiff_t i = 0; i < pixels; i += LANES)
                store_up_to(dx, i, pixels, v_if_less(v_set1(0), load_up_to(x, i, pixels),
                                                     load_up_to(dy, i, pixels), v_set1(0)));
            continue;
        }
        if (pixels > 4 * p->h.o * o)
            memset(dx, 0, (size_t)pixels * sizeof(real));
        for (ptrdiff_t y = 0, rows; y < p->h.o; y += rows, dy += rows * o) {
            const real *const line = x + 2 * y * width;
            real *const to = dx + 2 * y * width;
            rows = MAX_GRAD_PAIR && o <= MAX_GRAD_PAIR && y + 1 < p->h.o ? 2 : 1;
            if (rows == 2) { /* one vector */
                v_store(both, load_up_to(dy, 0, o));
                v_store_n(both + MAX_GRAD_PAIR, load_up_to(dy, o, 2 * o), o);
                pool_max_grad_vector(v_load(both), line, width, 2 * o, 2 * width, 2 * o, to,
                                     p->positive);
            }
            for (ptrdiff_t i = 0; rows == 1 && i < o; i += LANES)
                pool_max_grad_vector(load_up_to(dy, i, o), line + 2 * i, width, 2 * (o - i), LANES,
                                     2 * (o - i) - LANES, to + 2 * i, p->positive);
        }
    }
}
