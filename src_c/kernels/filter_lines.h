/* What the image filters share. A unit is a strip of output: a block of rows and columns of one plane.
 * Its source rows come line by line, converted to the type that is computed in, with the border
 * around them. A row is cols * c numbers, the c channels of a pixel side by side, so a tap one pixel
 * away is c numbers away, for any c. */

#define FILTER_AHEAD 4 /* rows between a line and the one that is fetched for later */

struct filter_block {
    ptrdiff_t plane, y0, y1, x0, cols; /* outputs: rows [y0, y1), cols columns from x0 on */
};

static ptrdiff_t filter_units(const void *params)
{
    const struct fc_filter2d *p = params;
    return p->planes * ceil_div(p->oh, p->block_rows) * ceil_div(p->ow, p->block_cols);
}

FC_INLINE struct filter_block filter_block(const struct fc_filter2d *p, ptrdiff_t unit)
{
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    struct filter_block b = {.plane = unit / blocks_x / blocks_y};
    b.x0 = unit % blocks_x * p->block_cols;
    b.y0 = unit / blocks_x % blocks_y * p->block_rows;
    b.y1 = FC_MIN(b.y0 + p->block_rows, p->oh);
    b.cols = FC_MIN(p->block_cols, p->ow - b.x0);
    return b;
}

/* dst = pixels [first, first + count) of a line of w pixels, border included. */
static void filter_extend(const struct fc_filter2d *p, real *dst, const char *line, ptrdiff_t first,
                          ptrdiff_t count)
{
    const ptrdiff_t pixel = p->c * (ptrdiff_t)dtype_size(p->dtype);
    ptrdiff_t a, b;
    border_inside(first, count, p->w, &a, &b);
    const char *const inside = line + (first + a) * pixel;
    load_as_real(dst + a * p->c, inside, p->dtype, (b - a) * p->c);
    for (ptrdiff_t i = 0; i < (b - a) * pixel; i += 64) /* what the next tile fetches */
        FC_PREFETCH(inside + FILTER_AHEAD * p->w * pixel + i);
    for (ptrdiff_t i = a > 0 ? 0 : b; i < count; i = i + 1 == a ? b : i + 1) {
        const ptrdiff_t at = border_index(first + i, p->w, p->border_w), here = at - first;
        if (at >= 0 && (here < a || here >= b))
            load_as_real(dst + i * p->c, line + at * pixel, p->dtype, p->c);
        else
            for (ptrdiff_t j = 0; j < p->c; j++)
                dst[i * p->c + j] = at >= 0 ? dst[here * p->c + j] : (real)p->cval;
    }
}

/* Row y (which may lie outside) of plane, pixels [first, first + count). */
static void filter_fetch(const struct fc_filter2d *p, real *dst, ptrdiff_t plane, ptrdiff_t y,
                         ptrdiff_t first, ptrdiff_t count)
{
    const ptrdiff_t row = p->w * p->c * (ptrdiff_t)dtype_size(p->dtype);
    const ptrdiff_t at = border_index(y, p->h, p->border_h);
    if (at >= 0)
        filter_extend(p, dst, (const char *)p->x + (plane * p->h + at) * row, first, count);
    else
        for (ptrdiff_t i = 0; i < count * p->c; i++)
            dst[i] = (real)p->cval;
}
