/* Input rows for kernels with channels in the lanes (NHWC): in place where no padding is needed,
 * else a block of rows copied into scratch with the padding around them. */

struct nhwc_rows {
    const real *first;     /* channel 0 of the pixel under the first output's first tap */
    ptrdiff_t pixel, row;  /* elements from one pixel, one row, to the next */
};

FC_INLINE int nhwc_padded(const struct fc_conv2d *p)
{
    const ptrdiff_t bottom = (p->oh - 1) * p->stride_h + (p->kh - 1) * p->dilation_h - p->top;
    const ptrdiff_t right = (p->ow - 1) * p->stride_w + (p->kw - 1) * p->dilation_w - p->left;
    return p->top != 0 || p->left != 0 || bottom >= p->h || right >= p->w;
}

/* Rows and columns of input that block_rows rows of output see. */
FC_INLINE ptrdiff_t nhwc_height(const struct fc_conv2d *p, ptrdiff_t rows)
{
    return (rows - 1) * p->stride_h + (p->kh - 1) * p->dilation_h + 1;
}
FC_INLINE ptrdiff_t nhwc_width(const struct fc_conv2d *p)
{
    return (p->ow - 1) * p->stride_w + (p->kw - 1) * p->dilation_w + 1;
}

/* Elements of scratch that nhwc_rows() needs for `channels` of each pixel. */
static ptrdiff_t nhwc_scratch(const struct fc_conv2d *p, ptrdiff_t channels)
{
    return nhwc_padded(p) ? nhwc_height(p, p->block_rows) * odd_lines(nhwc_width(p) * channels) : 0;
}

/* The input of output rows [y0, y0 + rows) of sample n: `channels` of them from channel c0 on. */
static struct nhwc_rows nhwc_rows(const struct fc_conv2d *p, ptrdiff_t n, ptrdiff_t c0,
                                  ptrdiff_t channels, ptrdiff_t y0, ptrdiff_t rows, real *scratch)
{
    const ptrdiff_t all = p->groups * p->c, height = nhwc_height(p, rows), width = nhwc_width(p);
    const real *const x = (const real *)p->x + n * p->h * p->w * all + c0;
    struct nhwc_rows view = {scratch, channels, odd_lines(width * channels)};

    if (!nhwc_padded(p)) {
        view.first = x + y0 * p->stride_h * p->w * all;
        view.pixel = all;
        view.row = p->w * all;
        return view;
    }
    for (ptrdiff_t i = 0; i < height; i++) {
        const ptrdiff_t y = border_index(y0 * p->stride_h - p->top + i, p->h, p->border_h);
        real *dst = scratch + i * view.row;
        if (y < 0) {
            memset(dst, 0, (size_t)(width * channels) * sizeof(real));
            continue;
        }
        for (ptrdiff_t j = 0; j < width; j++, dst += channels) {
            const ptrdiff_t at = border_index(j - p->left, p->w, p->border_w);
            if (at < 0)
                memset(dst, 0, (size_t)channels * sizeof(real));
            else
                memcpy(dst, x + (y * p->w + at) * all, (size_t)channels * sizeof(real));
        }
    }
    return view;
}
