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

/* The taps of windows become their gradients, of which the maximum takes g. */
FC_INLINE void max_grad_taps(vec tap[4], vec g)
{
    const vec zero = v_set1(0), half = v_set1((real)0.5);
    vec at = zero, best = tap[0];
    g = v_add(g, zero); /* -0 becomes 0, as where gradients are added to zeros */
    FC_UNROLL for (int t = 1; t < 4; t++) {
        at = max_grad_at(best, tap[t], (real)t, at);
        best = v_max(best, tap[t]);
    }
    FC_UNROLL for (int t = 0; t < 4; t++)
        tap[t] = v_if_less(v_abs(v_sub(at, v_set1((real)t))), half, g, zero);
}

FC_INLINE void max_grad_store(real *to, vec v, ptrdiff_t n)
{
    if (n >= LANES)
        v_store(to, v);
    else if (n > 0)
        v_store_n(to, v, n);
}

/* A row of windows, of the pixels of two lines. */
static void pool_max_grad_row(const real *dy, const real *x, ptrdiff_t o, ptrdiff_t width, real *dx)
{
    for (ptrdiff_t i = 0; i < o; i += LANES) {
        const ptrdiff_t n = 2 * (o - i);
        vec tap[4];
        FC_UNROLL for (int row = 0; row < 2; row++) {
            const real *const line = x + row * width + 2 * i;
            const vec a = load_up_to(line, 0, n), b = load_up_to(line, LANES, n);
            tap[2 * row] = v_even(a, b);
            tap[2 * row + 1] = v_odd(a, b);
        }
        max_grad_taps(tap, load_up_to(dy, i, o));
        FC_UNROLL for (int row = 0; row < 2; row++) {
            real *const line = dx + row * width + 2 * i;
            max_grad_store(line, v_zip_low(tap[2 * row], tap[2 * row + 1]), n);
            max_grad_store(line + LANES, v_zip_high(tap[2 * row], tap[2 * row + 1]), n - LANES);
        }
    }
}

/* Two rows of at most MAX_GRAD_PAIR windows, of the pixels of four lines: each has half of the vectors. */
#define MAX_GRAD_PAIR (LANES / 2)
static void pool_max_grad_pair(const real *dy, const real *x, ptrdiff_t o, ptrdiff_t width, real *dx)
{
    real both[LANES];
    vec tap[4];
    v_store(both, load_up_to(dy, 0, o));
    v_store_n(both + MAX_GRAD_PAIR, load_up_to(dy, o, 2 * o), o);
    FC_UNROLL for (int row = 0; row < 2; row++) {
        const real *const line = x + row * width;
        const vec a = load_up_to(line, 0, 2 * o), b = load_up_to(line + 2 * width, 0, 2 * o);
        tap[2 * row] = v_even(a, b);
        tap[2 * row + 1] = v_odd(a, b);
    }
    max_grad_taps(tap, v_load(both));
    FC_UNROLL for (int row = 0; row < 2; row++) {
        real *const line = dx + row * width;
        max_grad_store(line, v_zip_low(tap[2 * row], tap[2 * row + 1]), 2 * o);
        max_grad_store(line + 2 * width, v_zip_high(tap[2 * row], tap[2 * row + 1]), 2 * o);
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
        for (ptrdiff_t y = 0, rows; y < p->h.o; y += rows) {
            rows = o <= MAX_GRAD_PAIR && y + 1 < p->h.o ? 2 : 1;
            (rows == 2 ? pool_max_grad_pair : pool_max_grad_row)(
                dy + y * o, x + 2 * y * width, o, width, dx + 2 * y * width);
        }
    }
}
