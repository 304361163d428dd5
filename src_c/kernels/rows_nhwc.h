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
    return p->top != 0 || p->left != 0 || bottom >= p->h || right >= p->w || !slices_are_samples(p);
}

/* Rows and columns of input that so many of output see. */
FC_INLINE ptrdiff_t nhwc_height(const struct fc_conv2d *p, ptrdiff_t rows)
{
    return (rows - 1) * p->stride_h + (p->kh - 1) * p->dilation_h + 1;
}
FC_INLINE ptrdiff_t nhwc_width(const struct fc_conv2d *p, ptrdiff_t cols)
{
    return (cols - 1) * p->stride_w + (p->kw - 1) * p->dilation_w + 1;
}

/* Elements of scratch that nhwc_rows() needs for `channels` of each pixel. */
static ptrdiff_t nhwc_scratch(const struct fc_conv2d *p, ptrdiff_t channels)
{
    return nhwc_padded(p) ? nhwc_height(p, p->block_rows) *
                                odd_lines(nhwc_width(p, p->block_cols) * channels)
                          : 0;
}

/* Copy `rows` x `width` pixels of some channels, from the input's row `top` and column `left` on. */
static void nhwc_copy(const struct fc_conv2d *p, const struct slice_channels *in,
                      const struct nhwc_rows *view, ptrdiff_t top, ptrdiff_t rows, ptrdiff_t left,
                      ptrdiff_t width, real *dst)
{
    const struct steps from = input_steps(p);
    const size_t bytes = (size_t)in->count * sizeof(real);
    for (ptrdiff_t i = 0; i < rows; i++) {
        const ptrdiff_t y = in->x ? border_index(top + i, p->h, p->border_h) : -1;
        real *to = dst + i * view->row;
        if (y < 0 && in->count == view->pixel) {
            memset(to, 0, (size_t)width * bytes);
            continue;
        }
        for (ptrdiff_t j = 0; j < width; j++, to += view->pixel) {
            const ptrdiff_t at = border_index(left + j, p->w, p->border_w);
            if (y < 0 || at < 0)
                memset(to, 0, bytes);
            else
                memcpy(to, in->x + y * from.row + at * from.pixel, bytes);
        }
    }
}

/* The input of `rows` x `cols` outputs from (y0, x0) on of slice n: the channels [c, end) of a
 * group. */
static struct nhwc_rows nhwc_rows(const struct fc_conv2d *p, ptrdiff_t n, ptrdiff_t g, ptrdiff_t c,
                                  ptrdiff_t end, ptrdiff_t y0, ptrdiff_t rows, ptrdiff_t x0,
                                  ptrdiff_t cols, real *scratch)
{
    const struct steps from = input_steps(p);
    const ptrdiff_t top = y0 * p->stride_h - p->top, left = x0 * p->stride_w - p->left;
    const ptrdiff_t height = nhwc_height(p, rows), width = nhwc_width(p, cols);
    struct nhwc_rows view = {scratch, end - c, odd_lines(width * (end - c))};
    struct slice_channels in;

    if (!nhwc_padded(p)) {
        view.first = slice_channels(p, n, g, c, end).x + top * from.row + left * from.pixel;
        view.pixel = from.pixel;
        view.row = from.row;
        return view;
    }
    for (; c < end; c += in.count, scratch += in.count) {
        in = slice_channels(p, n, g, c, end);
        nhwc_copy(p, &in, &view, top, height, left, width, scratch);
    }
    return view;
}
