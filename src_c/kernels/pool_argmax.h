/* Max pooling that also says where each maximum stands, as an index into the (h, w) plane: the first
 * of equals, the last NaN of several (as PyTorch); -1 and the lowest value where a window holds no
 * data. */

static void pool_argmax_at(const struct fc_pool2d *p, const real *x, ptrdiff_t top, ptrdiff_t left,
                           real *out, int64_t *index)
{
    ptrdiff_t r0, r1, s0, s1;
    pool_span(top, p->kh, p->dilation_h, 0, p->h, &r0, &r1);
    pool_span(left, p->kw, p->dilation_w, 0, p->w, &s0, &s1);
    for (ptrdiff_t c = 0; c < p->c; c++) {
        real best = pool_identity(1);
        int64_t at = -1;
        for (ptrdiff_t r = r0; r < r1; r++)
            for (ptrdiff_t s = s0; s < s1; s++) {
                const ptrdiff_t i = (top + r * p->dilation_h) * p->w + left + s * p->dilation_w;
                const real value = x[i * p->c + c];
                if (at < 0 || exceeds(value, best)) {
                    best = value;
                    at = i;
                }
            }
        out[c] = best;
        index[c] = at;
    }
}

static size_t pool_argmax_scratch(const void *params)
{
    (void)params;
    return 0;
}

static void pool_argmax(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool2d *p = params;
    const ptrdiff_t blocks = ceil_div(p->oh, p->block_rows);
    (void)scratch;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t plane = unit / blocks, y0 = unit % blocks * p->block_rows;
        const real *const x = (const real *)p->x + plane * p->h * p->w * p->c;
        for (ptrdiff_t y = y0; y < FC_MIN(y0 + p->block_rows, p->oh); y++)
            for (ptrdiff_t i = 0; i < p->ow; i++) {
                const ptrdiff_t at = ((plane * p->oh + y) * p->ow + i) * p->c;
                pool_argmax_at(p, x, y * p->stride_h - p->top, i * p->stride_w - p->left,
                               (real *)p->out + at, p->indices + at);
            }
    }
}
