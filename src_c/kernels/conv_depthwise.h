/* Depthwise convolution (one input and one output channel per group) with channels in the lanes,
 * for NHWC. (Pixels in the lanes, for NCHW: conv_depthwise_plane.h.)
 *
 * A tile is DEPTHWISE_ROWS by a few output pixels. A table holds a pointer to every input pixel
 * that it sees, so neither padding nor the ends of rows are special cases: outside a zero border
 * the pointer is to a pixel of zeros. Vector of channels by vector of channels, the input is read
 * in place, each pixel once for all taps of all outputs that see it. Terms are summed by tap row, then
 * tap column. Weights are packed as [vector of channels][kh][kw][LANES], the last one padded.
 *
 * Bound by memory for 3x3: a 2 x 7 tile takes 126 multiply-adds (63 cycles) and 90 loads, half of
 * them of pointers, and reads and writes 28 vectors (70 cycles or more from an L3 cache). */

#define DEPTHWISE_ROWS 2
#define DEPTHWISE_UNROLLED (FC_BITS == 32 && LANES > 1)
#if VEC_REGS == 32
#define DEPTHWISE_PIXELS 7
#else
#define DEPTHWISE_PIXELS 4
#endif

/* Square kernels and strides with a loop of their own, and its pixels: their sums, a row of input
 * and a weight fit the registers. They are large code, kept for float32 in vectors. */
#if !DEPTHWISE_UNROLLED
#define DEPTHWISE_KERNELS(X)
#elif VEC_REGS == 32
#define DEPTHWISE_KERNELS(X) X(3, 1, 7) X(3, 2, 4) X(5, 1, 7) X(5, 2, 4)
#else
#define DEPTHWISE_KERNELS(X) X(3, 1, 4) X(3, 2, 2) X(5, 1, 3) X(5, 2, 2)
#endif

struct depthwise_tile {
    const real **x; /* where each input pixel is: [input row][input column], or [tap][output] */
    const real *weight, *bias;
    real *out;
    int rows, pixels; /* to store */
    ptrdiff_t ahead;  /* elements to the input of the next tile: fetched on the way */
    const struct fc_conv2d *p;
};

static ptrdiff_t conv_depthwise_packed(const void *params)
{
    const struct fc_conv2d *p = params;
    return round_up(p->groups, LANES) * p->kh * p->kw;
}

static void conv_depthwise_pack(const void *params, void *packed)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t taps = p->kh * p->kw;
    const real *const weight = p->weight;
    real *dst = packed;
    for (ptrdiff_t c = 0; c < p->groups; c += LANES)
        for (ptrdiff_t i = 0; i < taps; i++)
            for (ptrdiff_t g = c; g < c + LANES; g++)
                *dst++ = g < p->groups ? weight[g * taps + i] : 0;
}

FC_INLINE vec depthwise_load(const real *x, ptrdiff_t lanes, const int whole)
{
    return whole ? v_load(x) : v_load_n(x, lanes);
}

FC_INLINE void depthwise_store(const struct depthwise_tile *t, const vec *acc, ptrdiff_t c,
                               ptrdiff_t lanes, int row, const int pixels, const int whole)
{
    const ptrdiff_t channels = t->p->groups;
    real *const out = t->out + row * t->p->ow * channels + c;
    FC_UNROLL for (int i = 0; i < pixels; i++) {
        const vec y = activate(acc[i], tile_activation(t->p));
        if (i >= t->pixels)
            break;
        if (whole)
            v_store(out + i * channels, y);
        else
            v_store_n(out + i * channels, y, lanes);
    }
}

/* Add an input row to the outputs [from, to) of a tile; w: its weights for output row 0. */
FC_INLINE void depthwise_row(vec acc[DEPTHWISE_ROWS][DEPTHWISE_PIXELS],
                             const struct depthwise_tile *t, const real *const *pixel,
                             const real *w, ptrdiff_t c, ptrdiff_t lanes, const int from,
                             const int to, const int kw, const int stride, const int pixels,
                             const int whole)
{
    const int cols = (pixels - 1) * stride + kw;
    vec x[16];
    FC_UNROLL for (int j = 0; j < cols; j++) {
        x[j] = depthwise_load(pixel[j] + c, lanes, whole);
        if (to == DEPTHWISE_ROWS && j >= kw - stride)
            FC_PREFETCH(pixel[j] + c + t->ahead);
    }
    FC_UNROLL for (int o = from; o < to; o++)
        FC_UNROLL for (int s = 0; s < kw; s++) {
            const vec weight = v_load(w + (s - o * stride * kw) * LANES);
            FC_UNROLL for (int i = 0; i < pixels; i++)
                acc[o][i] = v_fma(weight, x[i * stride + s], acc[o][i]);
        }
}

/* `lanes` channels from c on of a tile. The loops over input rows are not unrolled: compilers would
 * move loads across them and run out of registers. */
FC_INLINE void depthwise_slide(const struct depthwise_tile *t, ptrdiff_t c, ptrdiff_t lanes,
                               const int kw, const int stride, const int pixels, const int whole)
{
    const int cols = (pixels - 1) * stride + kw, row = kw * LANES;
    const real *const *x = t->x;
    const ptrdiff_t kh = t->p->kh;
    const real *w = t->weight + c * kh * kw, *const first_end = w + stride * row;
    const real *const both_end = w + kh * row, *const end = both_end + stride * row;
    const vec bias = t->bias ? depthwise_load(t->bias + c, lanes, whole) : v_set1(0);
    vec acc[DEPTHWISE_ROWS][DEPTHWISE_PIXELS];

    FC_UNROLL for (int o = 0; o < DEPTHWISE_ROWS; o++)
        FC_UNROLL for (int i = 0; i < pixels; i++)
            acc[o][i] = bias;
    for (; w < first_end; w += row, x += cols)
        depthwise_row(acc, t, x, w, c, lanes, 0, 1, kw, stride, pixels, whole);
    for (; w < both_end; w += row, x += cols)
        depthwise_row(acc, t, x, w, c, lanes, 0, 2, kw, stride, pixels, whole);
    for (; w < end; w += row, x += cols)
        depthwise_row(acc, t, x, w, c, lanes, 1, 2, kw, stride, pixels, whole);
    FC_UNROLL for (int o = 0; o < DEPTHWISE_ROWS; o++)
        if (o < t->rows)
            depthwise_store(t, acc[o], c, lanes, o, pixels, whole);
}

/* The same for any kernel, and one row. */
FC_INLINE void depthwise_any(const struct depthwise_tile *t, ptrdiff_t c, ptrdiff_t lanes,
                             const int whole)
{
    const ptrdiff_t taps = t->p->kh * t->p->kw;
    const real *const weight = t->weight + c * taps, *const *x = t->x;
    const vec bias = t->bias ? depthwise_load(t->bias + c, lanes, whole) : v_set1(0);
    vec acc[DEPTHWISE_PIXELS];

    FC_UNROLL for (int i = 0; i < DEPTHWISE_PIXELS; i++)
        acc[i] = bias;
    for (ptrdiff_t k = 0; k < taps; k++, x += DEPTHWISE_PIXELS) {
        const vec w = v_load(weight + k * LANES);
        FC_UNROLL for (int i = 0; i < DEPTHWISE_PIXELS; i++)
            acc[i] = v_fma(w, depthwise_load(x[i] + c, lanes, whole), acc[i]);
    }
    depthwise_store(t, acc, c, lanes, 0, DEPTHWISE_PIXELS, whole);
}

#define DEPTHWISE_FUNCTION(k, stride, pixels)                                                  \
    static void depthwise_##k##_##stride(const struct depthwise_tile *t)                       \
    {                                                                                          \
        ptrdiff_t c = 0;                                                                       \
        for (; c + LANES <= t->p->groups; c += LANES)                                          \
            depthwise_slide(t, c, LANES, k, stride, pixels, 1);                                \
        if (c < t->p->groups)                                                                  \
            depthwise_slide(t, c, t->p->groups - c, k, stride, pixels, 0);                     \
    }
DEPTHWISE_KERNELS(DEPTHWISE_FUNCTION)

static void depthwise_general(const struct depthwise_tile *t)
{
    ptrdiff_t c = 0;
    for (; c + LANES <= t->p->groups; c += LANES)
        depthwise_any(t, c, LANES, 1);
    if (c < t->p->groups)
        depthwise_any(t, c, t->p->groups - c, 0);
}

struct depthwise_kernel {
    ptrdiff_t k, stride; /* 0, 0: any */
    int rows, pixels;
    void (*run)(const struct depthwise_tile *);
};

static const struct depthwise_kernel *depthwise_kernel(const struct fc_conv2d *p)
{
    static const struct depthwise_kernel kernels[] = {
#define DEPTHWISE_ROW(k, stride, pixels) \
    {k, stride, DEPTHWISE_ROWS, pixels, depthwise_##k##_##stride},
        DEPTHWISE_KERNELS(DEPTHWISE_ROW)
        {0, 0, 1, DEPTHWISE_PIXELS, depthwise_general},
    };
    const struct depthwise_kernel *kernel = kernels;
    while (kernel->k && (kernel->k != p->kh || kernel->k != p->kw || p->dilation_h > 1 ||
                         p->dilation_w > 1 || kernel->stride != p->stride_h ||
                         kernel->stride != p->stride_w))
        kernel++;
    return kernel;
}

/* Pointers of a tile's table. */
static ptrdiff_t depthwise_pointers(const struct fc_conv2d *p,
                                    const struct depthwise_kernel *kernel)
{
    return kernel->k ? ((kernel->rows - 1) * kernel->stride + kernel->k) *
                           ((kernel->pixels - 1) * kernel->stride + kernel->k)
                     : p->kh * p->kw * kernel->pixels;
}

static ptrdiff_t conv_depthwise_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->n * ceil_div(p->oh, p->block_rows);
}

FC_SMALL size_t conv_depthwise_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    return taken(depthwise_pointers(p, depthwise_kernel(p)), sizeof(real *)) +
           taken(p->groups, sizeof(real));
}

/* The input pixel at (y, x) of a sample. */
FC_INLINE const real *depthwise_pixel(const struct fc_conv2d *p, const real *sample,
                                      const real *zeros, ptrdiff_t y, ptrdiff_t x)
{
    const ptrdiff_t row = border_index(y, p->h, p->border_h);
    const ptrdiff_t col = border_index(x, p->w, p->border_w);
    return row < 0 || col < 0 ? zeros : sample + (row * p->w + col) * p->groups;
}

/* The table of the tile at output (y, x). */
static void depthwise_table(const struct fc_conv2d *p, const struct depthwise_kernel *kernel,
                            const real *sample, const real *zeros, ptrdiff_t y, ptrdiff_t x,
                            const real **table)
{
    const ptrdiff_t top = y * p->stride_h - p->top, left = x * p->stride_w - p->left;
    if (kernel->k) {
        const ptrdiff_t rows = (kernel->rows - 1) * kernel->stride + kernel->k;
        const ptrdiff_t cols = (kernel->pixels - 1) * kernel->stride + kernel->k;
        const int inside = left >= 0 && left + cols <= p->w;
        for (ptrdiff_t r = 0; r < rows; r++, table += cols) {
            const ptrdiff_t row = border_index(top + r, p->h, p->border_h);
            if (inside && row >= 0) {
                const real *const first = sample + (row * p->w + left) * p->groups;
                for (ptrdiff_t j = 0; j < cols; j++)
                    table[j] = first + j * p->groups;
            } else
                for (ptrdiff_t j = 0; j < cols; j++)
                    table[j] = depthwise_pixel(p, sample, zeros, top + r, left + j);
        }
    } else {
        for (ptrdiff_t r = 0; r < p->kh; r++)
            for (ptrdiff_t s = 0; s < p->kw; s++)
                for (ptrdiff_t i = 0; i < kernel->pixels; i++)
                    *table++ = depthwise_pixel(p, sample, zeros, top + r * p->dilation_h,
                                               left + i * p->stride_w + s * p->dilation_w);
    }
}

static void conv_depthwise(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const struct depthwise_kernel *const kernel = depthwise_kernel(p);
    const ptrdiff_t blocks = ceil_div(p->oh, p->block_rows);
    char *rest = scratch;
    const real **const table = take(&rest, depthwise_pointers(p, kernel), sizeof *table);
    real *const zeros = take(&rest, p->groups, sizeof(real));
    struct depthwise_tile t = {.x = table, .weight = p->weight, .bias = p->bias, .p = p,
                               .ahead = kernel->pixels * p->stride_w * p->groups};

    memset(zeros, 0, (size_t)p->groups * sizeof(real));
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t n = unit / blocks, y0 = unit % blocks * p->block_rows;
        const ptrdiff_t y1 = FC_MIN(y0 + p->block_rows, p->oh);
        const real *const sample = (const real *)p->x + n * p->h * p->w * p->groups;
        for (ptrdiff_t y = y0; y < y1; y += kernel->rows)
            for (ptrdiff_t x = 0; x < p->ow; x += kernel->pixels) {
                t.rows = (int)FC_MIN(kernel->rows, y1 - y);
                t.pixels = (int)FC_MIN(kernel->pixels, p->ow - x);
                t.out = (real *)p->out + ((n * p->oh + y) * p->ow + x) * p->groups;
                depthwise_table(p, kernel, sample, zeros, y, x, table);
                kernel->run(&t);
            }
        finish_pixels(p, (n * p->oh + y0) * p->ow, (y1 - y0) * p->ow, 0, p->groups);
    }
}
