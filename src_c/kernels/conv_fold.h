/* The last step of a gradient by the input, for both layouts: what was computed of a frame around
 * each image goes to the image's elements.
 *
 * The frame, oh x ow, comes in phases: phase (i, j) has the rows i, i + stride_h, ... and the columns
 * j, j + stride_w, ... of all planes, and begins where as many elements as the first one has are
 * left for each one before it. The image stands in it at (top, left). What the border copied from an
 * element of the image comes back to it: its own place first, then places around it row by row. A
 * unit is a row of a plane; a plane is a channel in NCHW, a sample in NHWC. */

static ptrdiff_t conv_fold_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->n * (p->nhwc ? 1 : p->c) * p->h;
}

FC_SMALL size_t conv_fold_scratch(const void *params)
{
    (void)params;
    return 0;
}

FC_INLINE void fold_run(real *dst, const real *src, ptrdiff_t count, int more)
{
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const ptrdiff_t n = count - i;
        const vec x = load_up_to(src, i, count);
        const vec y = more ? v_add(load_up_to(dst, i, count), x) : x;
        if (n >= LANES)
            v_store(dst + i, y);
        else
            v_store_n(dst + i, y, n);
    }
}

/* Two runs, element by element in turn; `b` may be read, past its end too, only where it counts. */
FC_INLINE void fold_two(real *dst, const real *a, const real *b, ptrdiff_t count)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= count / 2; i += LANES) {
        const vec x = v_load(a + i), y = v_load(b + i);
#if LANES == 1
        dst[2 * i] = x;
        dst[2 * i + 1] = y;
#else
        v_store(dst + 2 * i, v_zip_low(x, y));
        v_store(dst + 2 * i + LANES, v_zip_high(x, y));
#endif
    }
    for (i *= 2; i < count; i++)
        dst[i] = (i % 2 ? b : a)[i / 2];
}

/* Where a row of the frame's phases begins. */
static const real *fold_row(const struct fc_conv2d *p, ptrdiff_t plane, ptrdiff_t i, ptrdiff_t phase)
{
    const ptrdiff_t channels = p->nhwc ? p->c : 1, planes = p->n * p->c / channels;
    const ptrdiff_t size = ceil_div(p->oh, p->stride_h) * ceil_div(p->ow, p->stride_w) * planes;
    const ptrdiff_t rows = ceil_div(p->oh - i % p->stride_h, p->stride_h);
    const ptrdiff_t cols = ceil_div(p->ow - phase, p->stride_w);
    return (const real *)p->x + channels * ((i % p->stride_h * p->stride_w + phase) * size +
                                            (plane * rows + i / p->stride_h) * cols);
}

/* Row i of the frame goes to a row of the image; is there something in it already? */
static void fold_line(const struct fc_conv2d *p, real *dst, ptrdiff_t plane, ptrdiff_t i, int more)
{
    const ptrdiff_t channels = p->nhwc ? p->c : 1, step = p->stride_w;
    if (step == 1)
        fold_run(dst, fold_row(p, plane, i, 0) + p->left * channels, p->w * channels, more);
    else if (step == 2 && channels == 1 && !more)
        fold_two(dst, fold_row(p, plane, i, p->left % 2) + p->left / 2,
                 p->w > 1 ? fold_row(p, plane, i, (p->left + 1) % 2) + (p->left + 1) / 2 : NULL,
                 p->w);
    else
        for (ptrdiff_t u = 0; u < FC_MIN(step, p->w); u++) {
            const real *src = fold_row(p, plane, i, (p->left + u) % step) +
                              (p->left + u) / step * channels;
            for (ptrdiff_t x = u; x < p->w; x += step, src += channels)
                fold_run(dst + x * channels, src, channels, more);
        }
    for (ptrdiff_t j = p->left > 0 ? 0 : p->w; j < p->ow; j = j + 1 == p->left ? j + 1 + p->w : j + 1) {
        const ptrdiff_t x = border_index(j - p->left, p->w, p->border_w);
        if (x >= 0)
            fold_run(dst + x * channels, fold_row(p, plane, i, j % step) + j / step * channels,
                     channels, 1);
    }
}

static void conv_fold(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t row = p->w * (p->nhwc ? p->c : 1);
    (void)scratch;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t y = unit % p->h, plane = unit / p->h;
        real *const dst = (real *)p->out + unit * row;
        fold_line(p, dst, plane, p->top + y, 0);
        for (ptrdiff_t i = p->top > 0 ? 0 : p->h; i < p->oh;
             i = i + 1 == p->top ? i + 1 + p->h : i + 1)
            if (border_index(i - p->top, p->h, p->border_h) == y)
                fold_line(p, dst, plane, i, 1);
    }
}
