/* Depthwise convolution (one input channel per group, k >= 1 output channels) with pixels in the
 * lanes, for NCHW. (Channels in the lanes, for NHWC: conv_depthwise.h.)
 *
 * A unit is a block of output rows and columns of one plane. It copies the input that they see into
 * an L1-sized area, with the border around it and a line per phase of the column stride, so that
 * every load is contiguous. A strip of a few vectors then slides down the rows: each input row is
 * loaded once, a vector per tap column, and added to every output row that sees it; the sums of
 * `live` output rows are in registers. Terms are summed by tap row, then tap column.
 *
 * Bound by memory for 3x3: a vector of outputs takes 9 multiply-adds (4.5 cycles) and 3 loads, two of
 * which cross a line; reading and writing it takes as long from an L2 cache and longer from L3. */

#define PLANE_VECTORS 4 /* of a strip */
#define PLANE_LIVE 7    /* output rows that a row of the tallest unrolled kernel, 7x7, belongs to */

/* The copy: lines of phases, each phase with room for the whole vectors of the last strip. */
struct plane_input {
    ptrdiff_t phases, count; /* of a line; columns of a phase that outputs see */
    ptrdiff_t lead;          /* elements before a line, which align the image in it */
    ptrdiff_t phase, line;   /* elements from one to the next */
};

static struct plane_input plane_input(const struct fc_conv2d *p, ptrdiff_t cols)
{
    const ptrdiff_t reach = (p->kw - 1) * p->dilation_w;
    struct plane_input in;
    in.phases = FC_MIN(p->stride_w, reach + 1);
    in.count = cols + reach / p->stride_w;
    in.lead = p->stride_w == 1 ? round_up(p->left, LANES) - p->left : 0;
    in.phase = round_up(in.count + 2 * LANES, LANES);
    in.line = odd_lines(in.lead + in.phases * in.phase);
    return in;
}

/* Input rows that `rows` output rows see. */
FC_INLINE ptrdiff_t plane_height(const struct fc_conv2d *p, ptrdiff_t rows)
{
    return (rows - 1) * p->stride_h + (p->kh - 1) * p->dilation_h + 1;
}

/* The first of n elements, at most a vector of them; the other lanes are 0. */
FC_INLINE vec plane_load(const real *x, ptrdiff_t n)
{
    return n >= LANES ? v_load(x) : n > 0 ? v_load_n(x, n) : v_set1(0);
}

/* One line from column `first` of the image row x on, which may lie outside. */
static void plane_fill(const struct fc_conv2d *p, const struct plane_input *in, real *dst,
                       const real *x, ptrdiff_t first)
{
    const ptrdiff_t step = p->stride_w, phases = in->phases, count = in->count, w = p->w;
    /* Positions [from, to) have all their phases inside, but for the row's last one. */
    const ptrdiff_t from = FC_MIN(first < 0 ? ceil_div(-first, step) : 0, count);
    const ptrdiff_t to = FC_MAX(FC_MIN(ceil_div(w - first, step), count), from);
    ptrdiff_t j = from;

    if (step == 1)
        for (; j < to; j += LANES)
            v_store(dst + j, plane_load(x + first + j, w - first - j));
    else if (step == 2)
        for (; j < to; j += LANES) {
            const ptrdiff_t at = first + 2 * j;
            const vec a = plane_load(x + at, w - at);
            const vec b = plane_load(x + at + LANES, w - at - LANES);
            v_store(dst + j, v_even(a, b));
            if (phases == 2)
                v_store(dst + in->phase + j, v_odd(a, b));
        }
    else
        for (ptrdiff_t f = 0; f < phases; f++)
            for (j = from; j < to; j++)
                dst[f * in->phase + j] = first + j * step + f < w ? x[first + j * step + f] : 0;
    for (ptrdiff_t f = 0; f < phases; f++) {
        const ptrdiff_t inside = FC_MIN(FC_MAX(ceil_div(w - first - f, step), from), count);
        for (j = from > 0 ? 0 : inside; j < count; j = j + 1 == from ? inside : j + 1) {
            const ptrdiff_t i = border_index(first + j * step + f, w, p->border_w);
            dst[f * in->phase + j] = i < 0 ? 0 : x[i];
        }
    }
}

/* A strip of nv vectors of `rows` output rows. */
struct plane_strip {
    const real *x;        /* under the first output, in the line of its first tap */
    const real *weight;
    const ptrdiff_t *tap; /* elements from the first tap column to each */
    const real *ahead;    /* what the next unit reads: fetched on the way */
    ptrdiff_t ahead_step, ahead_lines;
    real *out;
    real bias;
    ptrdiff_t line, out_step; /* elements from one row to the next */
    ptrdiff_t rows, last;     /* last: outputs of the last vector */
    const struct fc_conv2d *p;
};

FC_INLINE void plane_store(const struct plane_strip *t, real *out, const vec *acc, const int nv)
{
    FC_UNROLL for (int v = 0; v < nv; v++) {
        const vec y = activate(acc[v], t->p->activation);
        if (v + 1 < nv || t->last == LANES)
            v_store(out + v * LANES, y);
        else
            v_store_n(out + v * LANES, y, t->last);
    }
}

/* Add an input row: tap row j of the oldest live output row, j - stride of the next one, ... */
FC_INLINE void plane_row(vec acc[PLANE_LIVE][PLANE_VECTORS], const real *x,
                         const struct plane_strip *t, const vec *held, const int j, const int kh,
                         const int kw, const int stride, const int nv)
{
    FC_UNROLL for (int s = 0; s < kw; s++) {
        vec pixels[PLANE_VECTORS];
        FC_UNROLL for (int v = 0; v < nv; v++)
            pixels[v] = v_load(x + t->tap[s] + v * LANES);
        FC_UNROLL for (int m = 0; m * stride <= j; m++) {
            const int r = j - m * stride;
            const vec w = held ? held[r * kw + s] : v_set1(t->weight[r * kw + s]);
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[m][v] = v_fma(w, pixels[v], acc[m][v]);
        }
    }
    (void)kh;
}

FC_INLINE void plane_slide(const struct plane_strip *t, const int kh, const int kw,
                           const int stride, const int nv)
{
    const int live = (kh + stride - 1) / stride;
    const int hold = kh * kw + (live + 1) * nv < VEC_REGS;
    const vec bias = v_set1(t->bias);
    const real *x = t->x, *ahead = t->ahead;
    real *out = t->out;
    vec acc[PLANE_LIVE][PLANE_VECTORS], weights[49];

    if (hold)
        FC_UNROLL for (int i = 0; i < kh * kw; i++)
            weights[i] = v_set1(t->weight[i]);
    FC_UNROLL for (int m = 0; m < live; m++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[m][v] = bias;
    FC_UNROLL for (int j = 0; j < kh - stride; j++, x += t->line)
        plane_row(acc, x, t, hold ? weights : NULL, j, kh, kw, stride, nv);
    for (ptrdiff_t i = t->rows; i > 0; i--, out += t->out_step, ahead += t->ahead_step) {
        for (ptrdiff_t a = 0; a < t->ahead_lines; a++)
            FC_PREFETCH(ahead + a * (64 / (ptrdiff_t)sizeof(real)));
        FC_UNROLL for (int j = kh - stride; j < kh; j++, x += t->line)
            plane_row(acc, x, t, hold ? weights : NULL, j, kh, kw, stride, nv);
        plane_store(t, out, acc[0], nv);
        FC_UNROLL for (int m = 0; m < live; m++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[m][v] = m + 1 < live ? acc[m + 1][v] : bias;
    }
}

/* Any kernel, output row by output row. */
FC_INLINE void plane_any(const struct plane_strip *t, const int nv)
{
    const struct fc_conv2d *const p = t->p;
    for (ptrdiff_t i = 0; i < t->rows; i++) {
        const real *w = t->weight;
        vec acc[PLANE_VECTORS];
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[v] = v_set1(t->bias);
        for (ptrdiff_t r = 0; r < p->kh; r++) {
            const real *const x = t->x + (i * p->stride_h + r * p->dilation_h) * t->line;
            for (ptrdiff_t s = 0; s < p->kw; s++, w++)
                FC_UNROLL for (int v = 0; v < nv; v++)
                    acc[v] = v_fma(v_set1(*w), v_load(x + t->tap[s] + v * LANES), acc[v]);
        }
        plane_store(t, t->out + i * t->out_step, acc, nv);
    }
}

/* Vectors of the widest strip whose sums, pixels and a weight fit the registers. */
#define PLANE_WIDEST(k, stride) \
    FC_MIN(PLANE_VECTORS, (VEC_REGS - 1) / (((k) + (stride) - 1) / (stride) + 1))

/* Square kernels and row strides with a loop of their own. */
#define PLANE_KERNELS(X) X(3, 1) X(3, 2) X(5, 1) X(5, 2) X(7, 1)

#define PLANE_FUNCTION(k, stride)                                                              \
    static void plane_##k##_##stride(const struct plane_strip *t, int nv)                      \
    {                                                                                          \
        switch (nv) {                                                                          \
        case 1: plane_slide(t, k, k, stride, 1); break;                                        \
        case 2: plane_slide(t, k, k, stride, FC_MIN(2, PLANE_WIDEST(k, stride))); break;       \
        case 3: plane_slide(t, k, k, stride, FC_MIN(3, PLANE_WIDEST(k, stride))); break;       \
        case 4: plane_slide(t, k, k, stride, FC_MIN(4, PLANE_WIDEST(k, stride))); break;       \
        }                                                                                      \
    }
PLANE_KERNELS(PLANE_FUNCTION)

static void plane_general(const struct plane_strip *t, int nv)
{
    switch (nv) {
    case 1: plane_any(t, 1); break;
    case 2: plane_any(t, 2); break;
    case 3: plane_any(t, 3); break;
    case 4: plane_any(t, 4); break;
    }
}

struct plane_kernel {
    ptrdiff_t k, stride; /* 0, 0: any */
    int widest;
    void (*run)(const struct plane_strip *, int nv);
};

static const struct plane_kernel *plane_kernel(const struct fc_conv2d *p)
{
    static const struct plane_kernel kernels[] = {
#define PLANE_ROW(k, stride) {k, stride, PLANE_WIDEST(k, stride), plane_##k##_##stride},
        PLANE_KERNELS(PLANE_ROW)
        {0, 0, PLANE_VECTORS, plane_general},
    };
    const struct plane_kernel *kernel = kernels;
    while (kernel->k && (kernel->k != p->kh || kernel->k != p->kw || kernel->stride != p->stride_h ||
                         (p->dilation_h > 1 && p->stride_h > 1)))
        kernel++;
    return kernel;
}

static ptrdiff_t conv_depthwise_plane_packed(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->groups * p->k * p->kh * p->kw;
}

static void conv_depthwise_plane_pack(const void *params, void *packed)
{
    const struct fc_conv2d *p = params;
    memcpy(packed, p->weight, (size_t)conv_depthwise_plane_packed(p) * sizeof(real));
}

static ptrdiff_t conv_depthwise_plane_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->n * p->groups * ceil_div(p->oh, p->block_rows) * ceil_div(p->ow, p->block_cols);
}

static size_t conv_depthwise_plane_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct plane_input in = plane_input(p, p->block_cols);
    return taken(p->kw, sizeof(ptrdiff_t)) +
           taken(plane_height(p, p->block_rows) * in.line, sizeof(real));
}

/* All strips of a block for one output channel. */
static void plane_strips(struct plane_strip *t, const struct plane_kernel *kernel, ptrdiff_t rows,
                         ptrdiff_t cols, const real *x, real *out)
{
    const struct fc_conv2d *const p = t->p;
    const ptrdiff_t vectors = ceil_div(cols, LANES), strips = ceil_div(vectors, kernel->widest);
    /* Output rows that share no input row slide on their own: those of a dilated kernel. */
    const ptrdiff_t sets = kernel->k ? p->dilation_h : 1, line = t->line;
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0, nv; i < strips; i++, at += nv * LANES) {
        nv = vectors / strips + (i < vectors % strips);
        t->last = FC_MIN(cols - at - (nv - 1) * LANES, LANES);
        for (ptrdiff_t set = 0; set < FC_MIN(sets, rows); set++) {
            t->x = x + at + set * line;
            t->line = sets * line;
            t->out = out + at + set * p->ow;
            t->out_step = sets * p->ow;
            t->rows = ceil_div(rows - set, sets);
            kernel->run(t, (int)nv);
        }
        t->line = line;
    }
}

static void plane_unit(const struct fc_conv2d *p, ptrdiff_t plane, ptrdiff_t y0, ptrdiff_t x0,
                       char *scratch)
{
    const ptrdiff_t rows = FC_MIN(p->block_rows, p->oh - y0), height = plane_height(p, rows);
    const ptrdiff_t cols = FC_MIN(p->block_cols, p->ow - x0);
    const struct plane_input in = plane_input(p, cols);
    ptrdiff_t *const tap = take(&scratch, p->kw, sizeof *tap);
    real *const input = (real *)scratch + in.lead;
    const real *const x = (const real *)p->x + plane * p->h * p->w;
    const ptrdiff_t g = plane % p->groups;
    struct plane_strip t = {.tap = tap, .line = in.line, .p = p};

    for (ptrdiff_t s = 0; s < p->kw; s++)
        tap[s] = s * p->dilation_w % p->stride_w * in.phase + s * p->dilation_w / p->stride_w;
    for (ptrdiff_t i = 0; i < height; i++) {
        const ptrdiff_t y = border_index(y0 * p->stride_h - p->top + i, p->h, p->border_h);
        if (y < 0)
            memset(input + i * in.line, 0, (size_t)(in.line - in.lead) * sizeof(real));
        else
            plane_fill(p, &in, input + i * in.line, x + y * p->w, x0 * p->stride_w - p->left);
    }
    for (ptrdiff_t m = 0; m < p->k; m++) {
        const ptrdiff_t k = g * p->k + m;
        t.weight = (const real *)p->weight + k * p->kh * p->kw;
        t.bias = p->bias ? ((const real *)p->bias)[k] : 0;
        t.ahead = x + (y0 + rows) * p->stride_h * p->w;
        t.ahead_step = p->stride_h * p->w;
        t.ahead_lines = m ? 0 : ceil_div(t.ahead_step, 64 / (ptrdiff_t)sizeof(real));
        plane_strips(&t, plane_kernel(p), rows, cols, input,
                     (real *)p->out + ((plane * p->k + m) * p->oh + y0) * p->ow + x0);
    }
}

static void conv_depthwise_plane(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t bx = unit % blocks_x, by = unit / blocks_x % blocks_y;
        plane_unit(p, unit / blocks_x / blocks_y, by * p->block_rows, bx * p->block_cols, scratch);
    }
}
