#include "filter_block.h"

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
    const ptrdiff_t count = b->cols + p->kw - 1;
    struct filter_ends e;
    e.in = in;
    border_inside(b->x0 - p->left, count, p->w, &e.a, &e.b);
    e.outside = count - (e.b - e.a);
    for (ptrdiff_t i = 0; i < FC_MIN(e.outside, FILTER_PLACES); i++)
        e.place[i] = filter_place(p, b, &e, i);
    return e;
}
