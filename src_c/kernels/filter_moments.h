/* The mean and the standard deviation of a rectangle of pixels, in one pass: rows of sums are
 * joined by filter_window.h, those of the squares behind those of the pixels.
 *
 * The deviation is sqrt(n * sum of squares - sum**2) / n. Both products are kept in full, as a
 * number and what it lacks, so the difference is as good as the sums; those of small windows of
 * uint8 are exact even in float32. */

/* From the sums of a row to those of its squares. */
static ptrdiff_t moments_half(const struct window_work *w) { return window_row_pitch(w->p); }

/* A source line, and its squares in its second half. */
static void moments_read(struct window_work *w, ptrdiff_t s)
{
    const ptrdiff_t n = (w->b->cols + w->p->kw - 1) * w->p->c;
    real *const line = w->in[s % 2], *const squares = line + filter_pitch(w->p, WINDOW_STEP);
    window_read(w, s);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const vec x = v_load(line + i);
        v_store(squares + i, v_mul(x, x));
    }
}

static void moments_along(const struct window_work *w, ptrdiff_t s, real *slot)
{
    const struct fc_filter2d *const p = w->p;
    real *const line = w->in[s % 2];
    const ptrdiff_t n = w->b->cols * p->c, pitch = filter_pitch(p, WINDOW_STEP);
    window_along(slot, line, p->kw, p->c, n, FC_SUM);
    window_along(slot + moments_half(w), line + pitch, p->kw, p->c, n, FC_SUM);
}

/* Join k lines of sums, and store what follows as the row of outputs y. */
static void moments_store(const struct window_work *w, ptrdiff_t y, const real *const *row,
                          ptrdiff_t k)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t n = w->b->cols * p->c, size = (ptrdiff_t)dtype_size(p->out_dtype);
    const ptrdiff_t at = ((w->b->plane * p->oh + y) * p->ow + w->b->x0) * p->c * size;
    const vec count = v_set1((real)p->scale), zero = v_set1(0);
    real *const sums = w->out, *const squares = sums + moments_half(w);
    window_terms(sums, row, k, w->n, FC_SUM);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const vec sum = v_load(sums + i), square = v_load(squares + i);
        const vec a = v_mul(count, square), a_rest = v_fma(count, square, v_sub(zero, a));
        const vec b = v_mul(sum, sum), b_rest = v_fma(sum, sum, v_sub(zero, b));
        const vec difference = v_max(zero, v_add(v_sub(a, b), v_sub(a_rest, b_rest)));
        v_store(sums + i, slide_mean(sum, p->scale));
        v_store(squares + i, slide_mean(v_sqrt(difference), p->scale));
    }
    store_from_real((char *)p->out + at, sums, p->out_dtype, n);
    store_from_real((char *)p->more[0] + at, squares, p->out_dtype, n);
}

/* As filter_window's, all of it twice. */
FC_SMALL size_t filter_moments_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return taken(2 * (p->kh + 2) * window_row_pitch(p), sizeof(real)) +
           taken(4 * filter_pitch(p, WINDOW_STEP), sizeof(real));
}

static const struct window_steps moments_steps = {moments_read, moments_along, moments_store};

static void filter_moments(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t line = 2 * filter_pitch(p, WINDOW_STEP), half = window_row_pitch(p);
    char *area = scratch;
    real *const ring = take(&area, 2 * (p->kh + 2) * half, sizeof(real));
    real *const head = ring + 2 * p->kh * half;
    real *const in = take(&area, 2 * line, sizeof(real));
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        struct window_work w = {&moments_steps, p, &b, fc_filter_ends(p, &b, FILTER_NOWHERE), ring, head,
                                head + 2 * half, {in, in + line}, 2 * half, half + b.cols * p->c, -1};
        window_groups(&w);
    }
}
