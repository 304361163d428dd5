/* What a unit of Winograd's convolution (conv_winograd.h) covers, and the memory that it works in. m is
 * the side of a tile of outputs. */

/* Output channels of one product, and of one stretch of packed weights. */
#define WINOGRAD_K (CHANNEL_VECTORS * LANES)
/* Channels are summed in parts before the sums are added: the smaller the parts, the smaller the
 * error. At least two of them, of equal size and at most this many. */
#define WINOGRAD_CHANNELS 32
FC_INLINE ptrdiff_t winograd_part(ptrdiff_t c)
{
    return ceil_div(c, FC_MAX(2, ceil_div(c, WINOGRAD_CHANNELS)));
}
#define WINOGRAD_POINTS (WINOGRAD_SIDE * WINOGRAD_SIDE) /* at most */

FC_INLINE ptrdiff_t winograd_points(const int m) { return (m + 2) * (m + 2); }

/* A block of tiles, and the sizes of what its unit keeps, in elements. */
struct winograd_block {
    ptrdiff_t rows, cols, tiles; /* of tiles */
    ptrdiff_t line;              /* NCHW: a row of the image under them */
    ptrdiff_t patches;           /* NCHW: one of m x (m + 2) planes of a channel's patches */
    ptrdiff_t tile, channel;     /* from one transformed tile, one channel, to the next */
    ptrdiff_t input, product;    /* one of the planes of points */
    ptrdiff_t output;            /* a row of outputs of one vector of channels */
};

FC_INLINE ptrdiff_t winograd_rows(const struct fc_conv2d *p, const int m)
{
    return ceil_div(p->oh, m);
}

/* Of so many rows of tiles, and columns of outputs. */
static struct winograd_block winograd_block(const struct fc_conv2d *p, ptrdiff_t rows,
                                            ptrdiff_t cols, const int m)
{
    struct winograd_block b;
    b.rows = rows;
    b.cols = ceil_div(cols, m);
    b.tiles = b.rows * b.cols;
    b.line = odd_lines(round_up(m * b.cols, m * LANES) + 2);
    /* Read and written in whole vectors, from any tile and from one before the first on. */
    b.patches = odd_lines((FC_MIN(b.rows, winograd_rows(p, m)) + 1) * b.cols + 2 * LANES);
    b.tile = p->nhwc ? odd_lines(p->c) : 1;
    b.channel = p->nhwc ? 1 : round_up(b.tiles, LANES);
    b.input = odd_lines(p->nhwc ? b.tiles * b.tile : p->c * b.channel);
    b.product = odd_lines(b.tiles * WINOGRAD_K);
    b.output = odd_lines(m * b.cols * LANES);
    return b;
}

/* The rows of the image under the tiles of one sample. */
FC_INLINE ptrdiff_t winograd_lines(const struct fc_conv2d *p, const struct winograd_block *b,
                                   const int m)
{
    return (m * FC_MIN(b->rows, winograd_rows(p, m)) + 2) * b->line;
}

/* The scratch memory of a unit. */
struct winograd_scratch {
    ptrdiff_t *tap;
    real *zero, *bias; /* of one product's output channels */
    const real **from; /* where each input of a patch stands */
    real *lines, *patches; /* NCHW */
    real *outside;         /* NHWC: a pixel of zeros */
    real *input, *product, *outputs;
    real *unsafe; /* for each tile, not 0 in the channels whose outputs are not finite */
};

/* Cut a scratch area up; gives its end. */
static char *winograd_take(const struct fc_conv2d *p, const struct winograd_block *b, const int m,
                           char *area, struct winograd_scratch *s)
{
    s->tap = take(&area, WINOGRAD_CHANNELS, sizeof *s->tap);
    s->zero = take(&area, WINOGRAD_K, sizeof(real));
    s->bias = take(&area, WINOGRAD_K, sizeof(real));
    s->from = take(&area, WINOGRAD_POINTS, sizeof *s->from);
    s->lines = take(&area, p->nhwc ? 0 : winograd_lines(p, b, m), sizeof(real));
    s->patches = take(&area, p->nhwc ? 0 : m * (m + 2) * b->patches, sizeof(real));
    s->outside = take(&area, p->nhwc ? p->c : 0, sizeof(real));
    s->input = take(&area, winograd_points(m) * b->input, sizeof(real));
    s->product = take(&area, winograd_points(m) * b->product, sizeof(real));
    s->outputs = take(&area, m * b->output, sizeof(real));
    s->unsafe = take(&area, b->tiles * LANES, sizeof(real));
    return area;
}

FC_INLINE size_t winograd_scratch(const struct fc_conv2d *p, const int m)
{
    const struct winograd_block b = winograd_block(p, p->block_rows / m, p->block_cols, m);
    struct winograd_scratch s;
    char *const start = (char *)&s; /* of nothing that is used */
    return (size_t)(winograd_take(p, &b, m, start, &s) - start);
}

/* A unit: a block of outputs, with what it needs of its group. */
struct winograd_unit {
    const struct fc_conv2d *p;
    struct winograd_block block;
    struct steps from, to; /* of x and out */
    const real *x, *weight, *plain, *bias; /* weight transformed, plain not; bias may be NULL */
    real *out;                             /* x and out: the group's first channel of all samples */
    ptrdiff_t g, r0, x0, cols, k0, k1;     /* r0: of the first row of tiles */
};

/* The rows of tiles of one sample in a unit, from its row r on. */
struct winograd_run {
    ptrdiff_t n, y, rows, height; /* sample, first row of outputs, rows of tiles and of outputs */
};

FC_INLINE struct winograd_run winograd_run(const struct winograd_unit *u, ptrdiff_t r, const int m)
{
    const ptrdiff_t all = winograd_rows(u->p, m), first = (u->r0 + r) % all;
    struct winograd_run run = {.n = (u->r0 + r) / all, .y = first * m};
    run.rows = FC_MIN(all - first, u->block.rows - r);
    run.height = FC_MIN(run.rows * m, u->p->oh - run.y);
    return run;
}
