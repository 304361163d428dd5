/* Depthwise convolution (one input channel per group, k >= 1 output channels) with pixels in the
 * lanes, for NCHW. (Channels in the lanes, for NHWC: conv_depthwise.h.)
 *
 * A unit is a block of output rows and columns of one plane. It copies the input that they see
 * (plane_nchw.h); strips of a few vectors then slide down its rows: each input row is loaded once,
 * a vector per tap column, and added to every output row that sees it, whose sums are in registers.
 * The output channels of a group share the copy. Terms are summed by tap row, then tap column.
 *
 * Bound by memory for 3x3: a vector of outputs takes 9 multiply-adds (4.5 cycles) and 3 loads; to
 * read and write it takes 4 cycles in an L2 cache and 6 in L3. */

#define PLANE_VECTORS 4 /* of a strip */
#define PLANE_LIVE 7    /* output rows that a row of the tallest unrolled kernel, 7x7, belongs to */

/* A strip of nv vectors of `rows` output rows. */
struct plane_strip {
    const real *x;        /* under the first output, in the line of its first tap */
    const real *weight;
    const ptrdiff_t *tap; /* elements from the first tap column to each */
    real *out;
    real bias;
    ptrdiff_t line, out_step; /* elements from one row to the next */
    ptrdiff_t rows, last;     /* last: outputs of the last vector */
    const struct fc_conv2d *p;
};

FC_INLINE void plane_store(const struct plane_strip *t, real *out, const vec *acc, const int nv)
{
    FC_UNROLL for (int v = 0; v < nv; v++) {
        const vec y = activate(acc[v], tile_activation(t->p));
        if (v + 1 < nv || t->last == LANES)
            v_store(out + v * LANES, y);
        else
            v_store_n(out + v * LANES, y, t->last);
    }
}

/* Add tap column s of an input row: w is that column of the weights. */
FC_INLINE void plane_tap(vec acc[PLANE_LIVE][PLANE_VECTORS], const real *x, const vec *held,
                         const real *w, const int j, const ptrdiff_t kw, const int stride,
                         const int nv)
{
    vec pixels[PLANE_VECTORS];
    FC_UNROLL for (int v = 0; v < nv; v++)
        pixels[v] = v_load(x + v * LANES);
    FC_UNROLL for (int m = 0; m * stride <= j; m++) {
        const ptrdiff_t r = j - m * stride;
        const vec weight = held ? held[r * kw] : v_set1(w[r * kw]);
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[m][v] = v_fma(weight, pixels[v], acc[m][v]);
    }
}

/* Add an input row: tap row j of the oldest live output row, j - stride of the next one, ... */
FC_INLINE void plane_row(vec acc[PLANE_LIVE][PLANE_VECTORS], const real *x,
                         const struct plane_strip *t, const vec *held, const int j, const int kh,
                         const int stride, const int nv)
{
    if (kh <= 5)
        FC_UNROLL for (int s = 0; s < kh; s++)
            plane_tap(acc, x + t->tap[s], held ? held + s : NULL, t->weight + s, j, kh, stride, nv);
    else
        for (ptrdiff_t s = 0; s < t->p->kw; s++)
            plane_tap(acc, x + t->tap[s], NULL, t->weight + s, j, t->p->kw, stride, nv);
}

FC_INLINE void plane_slide(const struct plane_strip *t, const int kh, const int stride,
                           const int nv)
{
    const int live = (kh + stride - 1) / stride;
    const int hold = kh == 3 && 9 + (live + 1) * nv < VEC_REGS;
    const vec bias = v_set1(t->bias);
    const real *x = t->x;
    real *out = t->out;
    vec acc[PLANE_LIVE][PLANE_VECTORS], weights[9];

    if (hold)
        FC_UNROLL for (int i = 0; i < 9; i++)
            weights[i] = v_set1(t->weight[i]);
    FC_UNROLL for (int m = 0; m < live; m++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[m][v] = bias;
    FC_UNROLL for (int j = 0; j < kh - stride; j++, x += t->line)
        plane_row(acc, x, t, hold ? weights : NULL, j, kh, stride, nv);
    for (ptrdiff_t i = t->rows; i > 0; i--, out += t->out_step) {
        FC_UNROLL for (int j = kh - stride; j < kh; j++, x += t->line)
            plane_row(acc, x, t, hold ? weights : NULL, j, kh, stride, nv);
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

/* Kernel rows and row strides with a loop of their own; up to five rows are for as many columns. */
#if DEPTHWISE_UNROLLED
#define PLANE_KERNELS(X) X(3, 1) X(3, 2) X(5, 1) X(5, 2) X(7, 1)
#else
#define PLANE_KERNELS(X)
#endif

#define PLANE_FUNCTION(k, stride)                                                              \
    static void plane_##k##_##stride(const struct plane_strip *t, int nv)                      \
    {                                                                                          \
        switch (nv) {                                                                          \
        case 1: plane_slide(t, k, stride, 1); break;                                           \
        case 2: plane_slide(t, k, stride, FC_MIN(2, PLANE_WIDEST(k, stride))); break;          \
        case 3: plane_slide(t, k, stride, FC_MIN(3, PLANE_WIDEST(k, stride))); break;          \
        case 4: plane_slide(t, k, stride, FC_MIN(4, PLANE_WIDEST(k, stride))); break;          \
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
    while (kernel->k && (kernel->k != p->kh || (kernel->k <= 5 && kernel->k != p->kw) ||
                         kernel->stride != p->stride_h ||
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

FC_SMALL size_t conv_depthwise_plane_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct plane_input in = plane_input(p);
    return taken(p->kw, sizeof(ptrdiff_t)) + taken(plane_area(p, &in), sizeof(real));
}

/* All strips of a block for one output channel. */
static void plane_strips(struct plane_strip *t, const struct plane_input *in,
                         const struct plane_kernel *kernel, ptrdiff_t rows, const real *x,
                         real *out)
{
    const struct fc_conv2d *const p = t->p;
    /* Output rows that share no input row slide on their own: those of a dilated kernel. */
    const ptrdiff_t sets = kernel->k ? p->dilation_h : 1, line = t->line;
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0, nv; i < in->strips; i++, at += nv * LANES) {
        nv = in->vectors + (i < in->wider);
        t->last = FC_MIN(in->cols - at - (nv - 1) * LANES, LANES);
        for (ptrdiff_t set = 0; set < FC_MIN(sets, rows); set++) {
            t->x = x + at + set * line;
            t->line = sets * line;
            t->out = out + at + set * p->ow;
            t->out_step = sets * p->ow;
            t->rows = sets == 1 ? rows : ceil_div(rows - set, sets);
            kernel->run(t, (int)nv);
        }
        t->line = line;
    }
}

static void plane_unit(const struct fc_conv2d *p, const struct plane_input *in,
                       const struct plane_kernel *kernel, ptrdiff_t plane, ptrdiff_t y0,
                       real *input)
{
    const ptrdiff_t rows = FC_MIN(p->block_rows, p->oh - y0), height = plane_height(p, rows);
    const real *const x = (const real *)p->x + plane * p->h * p->w;
    const ptrdiff_t k0 = plane % p->groups * p->k;
    struct plane_strip t = {.tap = in->tap, .line = in->line, .p = p};

    plane_fill(p, in, input, x, y0 * p->stride_h - p->top, height);
    for (ptrdiff_t m = 0; m < p->k; m++) {
        t.weight = (const real *)p->weight + (k0 + m) * p->kh * p->kw;
        t.bias = p->bias ? ((const real *)p->bias)[k0 + m] : 0;
        plane_strips(&t, in, kernel, rows, input,
                     (real *)p->out + ((plane * p->k + m) * p->oh + y0) * p->ow + in->x0);
        finish_planes(p, plane * p->k + m, 1, y0, rows, in->x0, in->cols);
    }
}

static void conv_depthwise_plane(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const struct plane_kernel *const kernel = plane_kernel(p);
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    struct plane_input in = plane_input(p);
    char *rest = scratch;
    ptrdiff_t *const tap = take(&rest, p->kw, sizeof *tap);
    ptrdiff_t plane, by, bx;

    in.tap = tap;
    for (ptrdiff_t s = 0; s < p->kw; s++)
        tap[s] = s * p->dilation_w % p->stride_w * in.phase + s * p->dilation_w / p->stride_w;
    plane = begin / blocks_x / blocks_y;
    by = begin / blocks_x % blocks_y;
    bx = begin % blocks_x;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        if (bx * p->block_cols != in.x0) {
            plane_columns(p, &in, kernel->widest, bx * p->block_cols);
            memset(rest, 0, (size_t)plane_area(p, &in) * sizeof(real));
        }
        plane_unit(p, &in, kernel, plane, by * p->block_rows, (real *)rest + in.lead);
        if (++bx == blocks_x) {
            bx = 0;
            if (++by == blocks_y)
                by = 0, plane++;
        }
    }
}
