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
    ptrdiff_t phases, lead; /* lead: elements before a line, which align the image in it */
    ptrdiff_t phase, line;  /* elements from one to the next */
    const ptrdiff_t *tap;   /* elements from the first tap column to each */
    /* Of the columns of a block: */
    ptrdiff_t x0, cols, first; /* outputs, and the image column of the first tap */
    ptrdiff_t count;           /* positions of a phase that outputs see */
    ptrdiff_t before;
    ptrdiff_t strips, vectors, wider; /* the first `wider` strips have one vector more */
    ptrdiff_t from, full, to;  /* inside the image: from `from`, for whole vectors until `full`, for
                                  the first phase until `to` */
};

static struct plane_input plane_input(const struct fc_conv2d *p)
{
    const ptrdiff_t reach = (p->kw - 1) * p->dilation_w;
    struct plane_input in = {.x0 = -1};
    ptrdiff_t from;
    in.phases = p->stride_w <= 2 ? p->stride_w : FC_MIN(p->stride_w, reach + 1);
    from = ceil_div(p->left, p->stride_w);
    in.lead = round_up(from, LANES) - from;
    in.phase = round_up(in.lead + p->block_cols + reach / p->stride_w, LANES);
    in.line = odd_lines(in.phases * in.phase);
    return in;
}

static void plane_columns(const struct fc_conv2d *p, struct plane_input *in, int widest,
                          ptrdiff_t x0)
{
    const ptrdiff_t step = p->stride_w;
    ptrdiff_t inside, vectors;
    in->x0 = x0;
    in->cols = FC_MIN(p->block_cols, p->ow - x0);
    vectors = ceil_div(in->cols, LANES);
    in->strips = ceil_div(vectors, widest);
    in->vectors = vectors / in->strips;
    in->wider = vectors % in->strips;
    in->first = x0 * step - p->left;
    in->count = in->cols + (p->kw - 1) * p->dilation_w / step;
    in->from = in->first < 0 ? FC_MIN(ceil_div(-in->first, step), in->count) : 0;
    in->before = in->first < 0 ? in->lead : 0;
    inside = FC_MAX(p->w - in->first, 0);
    in->to = FC_MAX(FC_MIN(ceil_div(inside, step), in->count), in->from);
    in->full = in->from + FC_MAX(inside / step - in->from, 0) / LANES * LANES;
    in->full = FC_MIN(in->full, in->from + (in->to - in->from) / LANES * LANES);
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

/* The part of each line that lies in the image, and zeros around it; x is the first row. */
FC_INLINE void plane_fill_inside(const struct fc_conv2d *p, const struct plane_input *in, real *dst,
                                 const real *x, ptrdiff_t rows, const int step)
{
    const ptrdiff_t before = in->before, from = in->from, full = in->full, count = in->count;
    const ptrdiff_t phase = in->phase, left = p->w - in->first;
    /* The second phase may begin one position before the first. */
    const int odd = step == 2 && from > 0 && in->first % 2 != 0;
    const real *src = x + in->first;

    for (; rows > 0; rows--, src += p->w, dst += in->line) {
        ptrdiff_t j;
        for (j = -before; j < from; j += LANES)
            FC_UNROLL for (int f = 0; f < step; f++)
                v_store(dst + f * phase + j, v_set1(0));
        if (odd)
            dst[phase + from - 1] = src[2 * from - 1];
        for (j = from; j < full; j += LANES) {
            if (step == 1) {
                v_store(dst + j, v_load(src + j));
            } else {
                const vec a = v_load(src + 2 * j), b = v_load(src + 2 * j + LANES);
                v_store(dst + j, v_even(a, b));
                v_store(dst + phase + j, v_odd(a, b));
            }
        }
        for (; j < count; j += LANES) {
            const vec a = plane_load(src + step * j, left - step * j);
            if (step == 1) {
                v_store(dst + j, a);
            } else {
                const vec b = plane_load(src + 2 * j + LANES, left - 2 * j - LANES);
                v_store(dst + j, v_even(a, b));
                v_store(dst + phase + j, v_odd(a, b));
            }
        }
    }
}

/* What a border other than zeros has at the ends of a line, and all of a line of other strides. */
static void plane_fill_rest(const struct fc_conv2d *p, const struct plane_input *in, real *dst,
                            const real *x)
{
    const ptrdiff_t step = p->stride_w;
    const int inside = step > 2;
    for (ptrdiff_t f = 0; f < in->phases; f++, dst += in->phase)
        for (ptrdiff_t j = 0; j < in->count; j++) {
            const ptrdiff_t at = in->first + j * step + f;
            if (inside || at < 0 || at >= p->w) {
                const ptrdiff_t i = border_index(at, p->w, p->border_w);
                dst[j] = i < 0 ? 0 : x[i];
            }
        }
}

static void plane_fill(const struct fc_conv2d *p, const struct plane_input *in, real *dst,
                       const real *x, ptrdiff_t y, ptrdiff_t height)
{
    ptrdiff_t a, b, at;
    border_inside(y, height, p->h, &a, &b);
    for (ptrdiff_t i = 0, rows; i < height; i += rows) {
        real *const line = dst + i * in->line;
        at = border_index(y + i, p->h, p->border_h);
        rows = i == a && b > a ? b - a : 1;
        if (at < 0) {
            memset(line - in->lead, 0, (size_t)(in->phases * in->phase) * sizeof(real));
            continue;
        }
        if (p->stride_w == 1)
            plane_fill_inside(p, in, line, x + at * p->w, rows, 1);
        else if (p->stride_w == 2)
            plane_fill_inside(p, in, line, x + at * p->w, rows, 2);
        if (p->stride_w > 2 || p->border_w != FC_CONSTANT)
            for (ptrdiff_t j = 0; j < rows; j++)
                plane_fill_rest(p, in, line + j * in->line, x + (at + j) * p->w);
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
    return taken(p->kw, sizeof(ptrdiff_t)) +
           taken(2 * LANES + plane_height(p, p->block_rows) * plane_input(p).line, sizeof(real));
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
                       const struct plane_kernel *kernel, ptrdiff_t plane, ptrdiff_t g,
                       ptrdiff_t y0, real *input)
{
    const ptrdiff_t rows = FC_MIN(p->block_rows, p->oh - y0), height = plane_height(p, rows);
    const real *const x = (const real *)p->x + plane * p->h * p->w;
    const ptrdiff_t k0 = g * p->k;
    struct plane_strip t = {.tap = in->tap, .line = in->line, .p = p};

    plane_fill(p, in, input, x, y0 * p->stride_h - p->top, height);
    for (ptrdiff_t m = 0; m < p->k; m++) {
        t.weight = (const real *)p->weight + (k0 + m) * p->kh * p->kw;
        t.bias = p->bias ? ((const real *)p->bias)[k0 + m] : 0;
        t.ahead = x + (y0 + rows) * p->stride_h * p->w;
        t.ahead_step = p->stride_h * p->w;
        t.ahead_lines = m ? 0 : ceil_div(t.ahead_step, 64 / (ptrdiff_t)sizeof(real));
        plane_strips(&t, in, kernel, rows, input,
                     (real *)p->out + ((plane * p->k + m) * p->oh + y0) * p->ow + in->x0);
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
        if (bx * p->block_cols != in.x0)
            plane_columns(p, &in, kernel->widest, bx * p->block_cols);
        plane_unit(p, &in, kernel, plane, plane % p->groups, by * p->block_rows, (real *)rest + in.lead);
        if (++bx == blocks_x) {
            bx = 0;
            if (++by == blocks_y)
                by = 0, plane++;
        }
    }
}
