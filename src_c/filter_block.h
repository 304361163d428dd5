/* Where the blocks of an image filter lie, and what of their source lines lies outside the image: the same
 * for all element types and instruction sets, and so compiled once. */
#ifndef FC_FILTER_BLOCK_H
#define FC_FILTER_BLOCK_H

#include "border.h"

/* What one unit computes: rows [y0, y1) of one plane, cols columns from x0 on. */
struct filter_block {
    ptrdiff_t plane, y0, y1, x0, cols;
};

ptrdiff_t fc_filter_units(const void *params);
struct filter_block fc_filter_block(const struct fc_filter2d *p, ptrdiff_t unit);

/* Steps of numbers whose windows can be read in the image itself: those from `first` up to `end`. The
 * first whole one is at `head`; a step at x reads the source numbers from x to (kw - 1) * c past its
 * own, in whole vectors where it has FILTER_PAST. */
struct filter_inside {
    ptrdiff_t first, end;
};

/* What is copied of the lines of a block, as the numbers they are: what steps that are not inside see.
 * Pixels [a, b) of a line are in the image; those before and after them stand at `place`, which is looked
 * up once for all lines where they are few. */
#define FILTER_PLACES 16
struct filter_ends {
    struct filter_inside in;
    ptrdiff_t a, b, outside, place[FILTER_PLACES];
};

struct filter_ends fc_filter_ends(const struct fc_filter2d *p, const struct filter_block *b,
                                  struct filter_inside in);

/* Where pixel i of those outside stands. */
FC_INLINE ptrdiff_t filter_place(const struct fc_filter2d *p, const struct filter_block *b,
                                 const struct filter_ends *e, ptrdiff_t i)
{
    const ptrdiff_t at = i < e->a ? i : i - e->a + e->b;
    return border_index(b->x0 - p->left + at, p->w, p->border_w);
}

#endif
