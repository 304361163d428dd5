/* The input of a block of depthwise outputs in NCHW: what it sees of one plane, with the border
 * around it, in lines that stay in an L1 cache. (panel_nchw.h holds many channels, for L2.)
 * A column stride s splits a line into s phases, so that every load is contiguous. Stores into it
 * are whole and, at the left edge of an image, aligned: those that cross a line cost far more. */

#define PLANE_AHEAD (2048 / (ptrdiff_t)sizeof(real)) /* how far the copy fetches ahead */

struct plane_input {
    ptrdiff_t phases, lead; /* lead: elements before a phase, which align the image in it */
    ptrdiff_t phase, line;  /* elements from one to the next */
    const ptrdiff_t *tap;   /* elements from the first tap column to each */
    /* Of the columns of a block: */
    ptrdiff_t x0, cols, first; /* outputs, and the image column of the first tap */
    ptrdiff_t count;           /* positions of a phase that outputs see */
    ptrdiff_t strips, vectors, wider; /* the first `wider` strips have one vector more */
    ptrdiff_t from, inside, full; /* all phases are in the image from `from` until `inside`, whole
                                     vectors of them until `full` */
};

static struct plane_input plane_input(const struct fc_conv2d *p)
{
    const ptrdiff_t reach = (p->kw - 1) * p->dilation_w;
    struct plane_input in = {.x0 = -1};
    ptrdiff_t from;
    in.phases = p->stride_w <= 2 ? p->stride_w : FC_MIN(p->stride_w, reach + 1);
    from = ceil_div(p->left, p->stride_w);
    in.lead = round_up(from, LANES) - from;
    /* Of several blocks one may begin in the padding where no line of memory does. */
    in.phase = round_up(in.lead + p->block_cols + reach / p->stride_w, LANES) +
               (p->block_cols < p->ow ? LANES : 0);
    in.line = odd_lines(in.phases * in.phase);
    return in;
}

static void plane_columns(const struct fc_conv2d *p, struct plane_input *in, int widest,
                          ptrdiff_t x0)
{
    const ptrdiff_t step = p->stride_w;
    ptrdiff_t vectors;
    in->x0 = x0;
    in->cols = FC_MIN(p->block_cols, p->ow - x0);
    vectors = ceil_div(in->cols, LANES);
    in->strips = ceil_div(vectors, widest);
    in->vectors = vectors / in->strips;
    in->wider = vectors % in->strips;
    in->first = x0 * step - p->left;
    in->count = in->cols + (p->kw - 1) * p->dilation_w / step;
    in->from = in->first < 0 ? FC_MIN(ceil_div(-in->first, step), in->count) : 0;
    in->inside = FC_MIN(FC_MAX(p->w - in->first, 0) / step, in->count);
    in->inside = FC_MAX(in->inside, in->from);
    in->full = in->from + (in->inside - in->from) / LANES * LANES;
}

/* Input rows that `rows` output rows see. */
FC_INLINE ptrdiff_t plane_height(const struct fc_conv2d *p, ptrdiff_t rows)
{
    return (rows - 1) * p->stride_h + (p->kh - 1) * p->dilation_h + 1;
}

/* Elements of the copy; the last vector of a strip reads on past a line. */
FC_INLINE ptrdiff_t plane_area(const struct fc_conv2d *p, const struct plane_input *in)
{
    return plane_height(p, p->block_rows) * in->line + LANES;
}

/* The part of each line that lies in the image, and zeros after it (those before it stay from when
 * the area was cleared); x is the first row. */
FC_INLINE void plane_fill_inside(const struct fc_conv2d *p, const struct plane_input *in, real *dst,
                                 const real *x, ptrdiff_t rows, const int step)
{
    const ptrdiff_t from = in->from, full = in->full, count = in->count;
    const ptrdiff_t phase = in->phase, left = p->w - in->first;
    /* The second phase may begin one position before the first. */
    const int odd = step == 2 && from > 0 && in->first + 2 * from == 1;
    const real *src = x + in->first;

    for (; rows > 0; rows--, src += p->w, dst += in->line) {
        ptrdiff_t j;
        if (odd)
            dst[phase + from - 1] = src[2 * from - 1];
        for (j = from; j < full; j += LANES) {
            FC_UNROLL for (int f = 0; f < step; f++)
                FC_PREFETCH(src + step * j + f * LANES + PLANE_AHEAD);
            if (step == 1) {
                v_store(dst + j, v_load(src + j));
            } else {
                const vec a = v_load(src + 2 * j), b = v_load(src + 2 * j + LANES);
                v_store(dst + j, v_even(a, b));
                v_store(dst + phase + j, v_odd(a, b));
            }
        }
        for (; j < count; j += LANES) {
            const vec a = load_up_to(src, step * j, left);
            if (step == 1) {
                v_store(dst + j, a);
            } else {
                const vec b = load_up_to(src, 2 * j + LANES, left);
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
    const ptrdiff_t from = step > 2 ? in->count : in->from, inside = FC_MAX(in->inside, from);
    for (ptrdiff_t f = 0; f < in->phases; f++, dst += in->phase)
        for (ptrdiff_t j = from > 0 ? 0 : inside; j < in->count;
             j = j + 1 == from ? inside : j + 1) {
            const ptrdiff_t i = border_index(in->first + j * step + f, p->w, p->border_w);
            dst[j] = i < 0 ? 0 : x[i];
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
