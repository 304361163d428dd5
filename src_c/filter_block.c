#include "filter_block.h"
#include "dtype.h"

ptrdiff_t fc_filter_units(const void *params)
{
    const struct fc_filter2d *p = params;
    return p->planes * ceil_div(p->oh, p->block_rows) * ceil_div(p->ow, p->block_cols);
}

struct filter_block fc_filter_block(const struct fc_filter2d *p, ptrdiff_t unit)
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

struct filter_ends fc_filter_ends(const struct fc_filter2d *p, const struct filter_block *b,
                                  struct filter_inside in)
{
    const ptrdiff_t first = b->x0 - p->left, count = b->cols + p->kw - 1;
    struct filter_ends e = {.in = in, .plane = b->plane, .first = first, .count = count};
    border_inside(first, count, p->w, &e.a, &e.b);
    e.to = in.first ? ceil_div(in.first, p->c) + p->kw - 1 : 0;
    e.from = in.end / p->c;
    const ptrdiff_t skipped = e.b - e.a;
    for (ptrdiff_t i = 0; i < FC_MIN(count - skipped, FILTER_PLACES); i++)
        e.place[i] = border_index(first + (i < e.a ? i : i + skipped), p->w, p->border_w);
    return e;
}

struct filter_down fc_filter_down(const struct fc_filter2d *p, const struct filter_block *b,
                                  const struct filter_block *next, const struct filter_ends *ends,
                                  ptrdiff_t x, ptrdiff_t head, ptrdiff_t step)
{
    const ptrdiff_t rows = (next->plane - b->plane) * p->h + next->y0 - b->y0;
    const ptrdiff_t n = b->cols * p->c, further = x + 2 * step;
    const ptrdiff_t at = ((b->plane * p->m * p->oh + b->y0) * p->ow + b->x0) * p->c + x;
    struct filter_down t = {.p = p, .x = x, .rows = b->y1 - b->y0};
    if (!ends->in.end) /* lines are copied: no others are to be had from them */
        t.later = x;
    else if (dtype_size(p->dtype) < sizeof(float))
        t.later = x + step;
    else
        t.later = further < n ? further : further - n + (rows * p->w + next->x0 - b->x0) * p->c;
    t.count = FC_MIN(n - x, x < head ? FC_MIN(head - x, step) : step);
    t.out = (char *)p->out + at * (ptrdiff_t)dtype_size(p->out_dtype);
    return t;
}
