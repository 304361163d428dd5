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
#define FILTER_NOWHERE ((struct filter_inside){0, 0})

/* The lines that are copied of rows of a plane: of `count` pixels each, from `first` of a row on, of
 * which [a, b) are in the image; the others stand at `place`, looked up once for all lines where they are
 * few. Steps that are not inside see pixels up to `to`, and from `from` on. */
#define FILTER_PLACES 16
struct filter_ends {
    struct filter_inside in;
    ptrdiff_t plane, first, count, a, b, to, from, place[FILTER_PLACES];
};

struct filter_ends fc_filter_ends(const struct fc_filter2d *p, const struct filter_block *b,
                                  struct filter_inside in);

/* What goes down a block: a few vectors of each of its rows, from number x on. */
struct filter_down {
    const struct fc_filter2d *p;
    const void *const *row, *const *ahead; /* the lines that it reads, and those of which it fetches */
    ptrdiff_t x, later;                    /* where in them */
    ptrdiff_t rows, count;                 /* rows of outputs, and the numbers of each */
    char *out;
};

/* The same at x, `step` numbers wide but before `head`; its lines are left to the caller, who knows their
 * type. It fetches where the next one begins, or where lines are long the second one after it, which may be
 * the next block's. */
struct filter_down fc_filter_down(const struct fc_filter2d *p, const struct filter_block *b,
                                  const struct filter_block *next, const struct filter_ends *ends,
                                  ptrdiff_t x, ptrdiff_t head, ptrdiff_t step);

#endif
