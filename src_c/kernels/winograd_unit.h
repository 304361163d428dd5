/* What a unit of Winograd's convolution (conv_winograd.h) covers, and the memory that it works in. */

/* Output channels of one product, and of one stretch of packed weights. */
#define WINOGRAD_K (CHANNEL_VECTORS * LANES)
/* Channels are summed in parts before the sums are added: the smaller the parts, the smaller the
 * error. Of all phases at least two of them, of equal size and at most this many channels. */
FC_INLINE ptrdiff_t winograd_part(ptrdiff_t c, int scheme)
{
    const ptrdiff_t most = scheme == WINOGRAD_ROW + 8 ? 16 : 32;
    return ceil_div(c, FC_MAX(2, ceil_div(c, most)));
}
/* At most: points, and weights of a kernel for one channel. */
#define WINOGRAD_POINTS 36
#define WINOGRAD_TERMS 9

FC_INLINE ptrdiff_t winograd_points(int scheme)
{
    return winograd_side_rows(scheme) * winograd_side(scheme);
}

/* At stride 2, rows and columns of the image are of two phases each: even ones meet the outer weights
 * of a kernel, odd ones the middle one. A phase of a channel counts as a channel of its own; odd rows
 * and even columns come first, then even and even, even and odd, odd and odd. A single weight needs no
 * product at infinity, so points there are of some phases only: of neighbours, in this order. */
FC_INLINE int winograd_phases(int scheme) { return winograd_stride(scheme) * winograd_stride(scheme); }
FC_INLINE int winograd_phase_row(int phase, int scheme) { return scheme & WINOGRAD_PHASES && phase % 3 == 0; }
FC_INLINE int winograd_phase_col(int phase) { return phase > 1; }

/* The phases [first, end) that a point is of. */
FC_INLINE int winograd_first_phase(ptrdiff_t point, int scheme)
{
    return scheme & WINOGRAD_PHASES && point / 5 == 4;
}
FC_INLINE int winograd_end_phase(ptrdiff_t point, int scheme)
{
    if (!(scheme & WINOGRAD_PHASES))
        return 1;
    return point % 5 == 4 ? 2 : point / 5 == 4 ? 3 : 4;
}

/* A block of tiles, and the sizes of what its unit keeps, in elements. */
struct winograd_block {
    ptrdiff_t rows, cols, tiles; /* of tiles */
    ptrdiff_t pixels;            /* a row of the image under them, of a vector of channels */
    ptrdiff_t tile;              /* from one transformed tile to the next: the channels of all phases */
    ptrdiff_t input, product;    /* one of the planes of points */
    ptrdiff_t output;            /* a row of outputs of one vector of channels */
};

FC_INLINE ptrdiff_t winograd_rows(const struct fc_conv2d *p, int scheme)
{
    return ceil_div(p->oh, winograd_m_rows(scheme));
}

/* The columns, and the rows, of the image under so many of tiles. */
FC_INLINE ptrdiff_t winograd_pixels(ptrdiff_t tiles, ptrdiff_t kw, int scheme)
{
    const int m = winograd_m(scheme, kw);
    return (tiles * m + winograd_side(scheme) - m) * winograd_stride(scheme);
}
FC_INLINE ptrdiff_t winograd_pixel_rows(ptrdiff_t tiles, int scheme)
{
    return winograd_is_row(scheme) ? tiles : winograd_pixels(tiles, 3, scheme);
}

/* Of so many rows of tiles, and columns of outputs. */
static struct winograd_block winograd_block(const struct fc_conv2d *p, ptrdiff_t rows,
                                            ptrdiff_t cols, int scheme)
{
    const int m = winograd_m(scheme, p->kw);
    struct winograd_block b;
    b.rows = rows;
    b.cols = ceil_div(cols, m);
    b.tiles = b.rows * b.cols;
    b.pixels = odd_lines(winograd_pixels(b.cols, p->kw, scheme) * LANES);
    b.tile = odd_lines(winograd_phases(scheme) * p->c);
    b.input = odd_lines(b.tiles * b.tile);
    b.product = odd_lines(b.tiles * WINOGRAD_K);
    b.output = odd_lines(m * b.cols * LANES);
    return b;
}

/* The scratch memory of a unit. */
struct winograd_scratch {
    real *bias;   /* of one product's output channels */
    real *pixels; /* under rows of tiles of a sample, of a vector of channels (NHWC: of dy, or under
                     one tile) */
    real *input, *product, *outputs;
    real *unsafe; /* for each tile, not 0 in the channels whose outputs are not finite */
};

/* Its areas, and their sizes in elements, given a block b and the scheme. */
#define WINOGRAD_AREAS(X)                                                                          \
    X(bias, WINOGRAD_K)                                                                            \
    X(pixels, winograd_pixel_rows(b->rows, scheme) * b->pixels)                                    \
    X(input, winograd_points(scheme) * b->input)                                                   \
    X(product, winograd_points(scheme) * b->product)                                               \
    X(outputs, winograd_m_rows(scheme) * b->output)                                                \
    X(unsafe, b->tiles * LANES)

FC_INLINE struct winograd_scratch winograd_take(const struct winograd_block *b, int scheme,
                                                char *area)
{
    struct winograd_scratch s;
#define WINOGRAD_TAKE(name, count) s.name = take(&area, count, sizeof *s.name);
    WINOGRAD_AREAS(WINOGRAD_TAKE)
    return s;
}

FC_NOINLINE size_t winograd_scratch(const struct fc_conv2d *p, int scheme)
{
    const struct winograd_block block = winograd_block(p, p->block_rows / winograd_m_rows(scheme),
                                                       p->block_cols, scheme);
    const struct winograd_block *const b = &block;
#define WINOGRAD_TAKEN(name, count) +taken(count, sizeof *((struct winograd_scratch *)0)->name)
    return 0 WINOGRAD_AREAS(WINOGRAD_TAKEN);
}

/* Where a tile's pixels begin that are `step` by `step` for each. */
FC_INLINE ptrdiff_t winograd_tile_at(const struct winograd_block *b, ptrdiff_t tile, ptrdiff_t step)
{
    return step * (tile / b->cols * b->pixels + tile % b->cols * LANES);
}

/* A unit: a block of outputs, with what it needs of its group. */
struct winograd_unit {
    const struct fc_conv2d *p;
    struct winograd_block block;
    struct steps from, to; /* of x and out */
    const real *weight, *plain, *bias; /* weight transformed, plain not; bias may be NULL */
    real *out;                         /* the group's first channel of all samples */
    ptrdiff_t g, r0, x0, cols, k0, k1;     /* r0: of the first row of tiles */
    ptrdiff_t seen_rows, seen_cols;        /* of the image and its border, by any output */
};

/* The rows of tiles of one sample in a unit, from its row r on. */
struct winograd_run {
    ptrdiff_t n, y, rows, height; /* sample, first row of outputs, rows of tiles and of outputs */
};

FC_INLINE struct winograd_run winograd_run(const struct winograd_unit *u, ptrdiff_t r,
                                           int scheme)
{
    const int m = winograd_m_rows(scheme);
    const ptrdiff_t all = winograd_rows(u->p, scheme), first = (u->r0 + r) % all;
    struct winograd_run run = {.n = (u->r0 + r) / all, .y = first * m};
    run.rows = FC_MIN(all - first, u->block.rows - r);
    run.height = FC_MIN(run.rows * m, u->p->oh - run.y);
    return run;
}
