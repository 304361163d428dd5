/* The gradient of a maximum of 2x2 pixels that no other window sees, by far the most usual one: the
 * maxima are found again, which takes less time than to write down where they stand. Of single pixels
 * it is a ReLU's, if those above zero alone have one.
 *
 * Two pixels beside each other are compared, then the larger ones of two rows: three comparisons, whose
 * answers say where the gradient goes. They say nothing of a NaN: in a plane with one, rows with one are
 * done again, with care.
 *
 * `x` is the gradient by the outputs, `starts` what was pooled. The first of equals is the maximum,
 * or the last NaN, as in pool_argmax.h. */

/* Four taps become what they get of g; gives the largest. */
FC_INLINE vec max_grad_share(vec g, vec *tap, int positive)
{
    const vec zero = v_set1(0);
    const vec upper = v_max(tap[0], tap[1]), lower = v_max(tap[2], tap[3]), best = v_max(upper, lower);
    vec up, down, right;
    g = v_add(g, zero); /* -0 becomes 0, as where gradients are added to zeros */
    if (positive)
        g = v_if_less(zero, best, g, zero);
    up = v_if_less(upper, lower, zero, g);
    down = v_if_less(upper, lower, g, zero);
    right = v_if_less(tap[0], tap[1], up, zero);
    tap[0] = v_if_less(tap[0], tap[1], zero, up);
    tap[1] = right;
    right = v_if_less(tap[2], tap[3], down, zero);
    tap[2] = v_if_less(tap[2], tap[3], zero, down);
    tap[3] = right;
    return best;
}

/* A vector of windows, whose gradient is g, of the pixels of two lines: n numbers of each from x on, and m
 * from `second` numbers further on. Gives the maxima. */
FC_INLINE vec max_grad_vector(vec g, const real *x, ptrdiff_t width, ptrdiff_t n, ptrdiff_t second,
                              ptrdiff_t m, real *dx, int positive)
{
    vec tap[4], best;
    FC_UNROLL for (int row = 0; row < 2; row++) {
        const real *const line = x + row * width;
        const vec a = load_up_to(line, 0, n), b = load_up_to(line + second, 0, m);
        tap[2 * row] = v_even(a, b);
        tap[2 * row + 1] = v_odd(a, b);
    }
    best = max_grad_share(g, tap, positive);
    FC_UNROLL for (int row = 0; row < 2; row++) {
        real *const line = dx + row * width;
        store_up_to(line, 0, n, v_zip_low(tap[2 * row], tap[2 * row + 1]));
        store_up_to(line + second, 0, m, v_zip_high(tap[2 * row], tap[2 * row + 1]));
    }
    return best;
}

/* A plane. What no window sees stays zero. Of short rows two fill a vector: of at most so many windows.
 * Gives a NaN where a maximum is one. */
#define MAX_GRAD_PAIR (LANES / 2)
FC_INLINE real max_grad_plane(const struct fc_pool *p, const real *dy, const real *x, real *dx)
{
    const ptrdiff_t width = p->w.n, o = p->w.o;
    vec all = v_set1(0);
    real lanes[LANES], sum = 0;
    for (ptrdiff_t y = 0, rows; y < p->h.o; y += rows, dy += rows * o) {
        const real *const line = x + 2 * y * width;
        real *const to = dx + 2 * y * width;
        rows = MAX_GRAD_PAIR && o <= MAX_GRAD_PAIR && y + 1 < p->h.o ? 2 : 1;
        if (rows == 2) { /* one vector */
            const vec first = load_up_to(dy, 0, o), other = load_up_to(dy + o, 0, o);
            const vec g = v_even(v_zip_low(first, first), v_zip_low(other, other));
            all = v_add(all, max_grad_vector(g, line, width, 2 * o, 2 * width, 2 * o, to, p->positive));
        }
        for (ptrdiff_t i = 0; rows == 1 && i < o; i += LANES)
            all = v_add(all, max_grad_vector(load_up_to(dy, i, o), line + 2 * i, width, 2 * (o - i), LANES,
                                             2 * (o - i) - LANES, to + 2 * i, p->positive));
    }
    v_store(lanes, all);
    for (ptrdiff_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

/* A row of windows with any numbers, one at a time. */
static void max_grad_row(const struct fc_pool *p, const real *dy, const real *x, real *dx)
{
    const ptrdiff_t width = p->w.n;
    for (ptrdiff_t i = 0; i < p->w.o; i++, x += 2, dx += 2) {
        const ptrdiff_t tap[4] = {0, 1, width, width + 1};
        int at = 0;
        for (int t = 1; t < 4; t++)
            if (x[tap[at]] < x[tap[t]] || isnan(x[tap[t]]))
                at = t;
        for (int t = 0; t < 4; t++)
            dx[tap[t]] = t == at && (!p->positive || x[tap[at]] > 0) ? dy[i] + 0 : 0;
    }
}

/* The rows of a plane in which there is a NaN. */
FC_SMALL void max_grad_careful(const struct fc_pool *p, const real *dy, const real *x, real *dx)
{
    for (ptrdiff_t y = 0, at = 0; y < p->h.o; y++, at += 2 * p->w.n) {
        ptrdiff_t i = 0;
        while (i < 2 * p->w.n && !isnan(x[at + i]))
            i++;
        if (i < 2 * p->w.n)
            max_grad_row(p, dy + y * p->w.o, x + at, dx + at);
    }
}

/* A unit is a plane. */
static void pool_max_grad(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    const ptrdiff_t pixels = p->h.n * p->w.n, outputs = p->h.o * p->w.o;
    (void)scratch;
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const real *const dy = (const real *)p->x + plane * outputs;
        const real *const x = (const real *)p->starts + plane * pixels;
        real *const dx = (real *)p->out + plane * pixels;
        if (p->w.k == 1) {
            assert(p->positive);
            for (ptrdiff_t i = 0; i < pixels; i += LANES)
                store_up_to(dx, i, pixels, v_if_less(v_set1(0), load_up_to(x, i, pixels),
                                                     load_up_to(dy, i, pixels), v_set1(0)));
            continue;
        }
        if (pixels > 4 * outputs)
            memset(dx, 0, (size_t)pixels * sizeof(real));
        if (isnan(max_grad_plane(p, dy, x, dx)))
            max_grad_careful(p, dy, x, dx);
    }
}
