/* Depthwise convolution 3x3, stride 1 or 2, with one column of zeros on the left, pixels in the
 * lanes, for NCHW: the kernel of nearly every network that has any. (Others: conv_depthwise_plane.h,
 * whose sums have the same order and bits.)
 *
 * A unit is a block of rows of one plane. Strips of a few vectors slide down it, reading the image
 * where it is: each row is loaded once, and added to the (up to three) output rows that see it, whose
 * sums are in registers. Only the ends of a row are loaded apart: no copy of the input, which costs
 * as much as the sums.
 *
 * Bound by memory: 9 multiply-adds (4.5 cycles) per vector, which takes 6 cycles to read and write
 * in an L3 cache. */

/* Of what a strip holds, a function each; fewer registers have no room for more than one vector. */
#if VEC_REGS == 32
#define ROWS_VECTORS 4
#define ROWS_STRIPS(X, stride) X(stride, 1) X(stride, 2) X(stride, 3) X(stride, 4)
#else
#define ROWS_VECTORS 1
#define ROWS_STRIPS(X, stride) X(stride, 1)
#endif

struct rows_strip {
    const struct fc_conv2d *p;
    const real *x, *zeros; /* a plane; a row of zeros, for rows outside */
    const real *weight;
    real *out;             /* the first output */
    real bias;
    ptrdiff_t y, rows;     /* outputs */
    ptrdiff_t at;          /* the first output's column */
};

/* What the three tap columns see of a row from output `at` on. */
FC_INLINE void rows_see(const real *row, ptrdiff_t at, ptrdiff_t n, const int stride, const int nv,
                        vec seen[3][ROWS_VECTORS])
{
    /* Before the first column there is a zero. */
    vec before = v_set1(at > 0 && stride * at <= n ? row[stride * at - 1] : 0);
    FC_UNROLL for (int v = 0; v < nv; v++) {
        const ptrdiff_t i = stride * (at + v * LANES);
        if (stride == 1) {
            seen[1][v] = load_up_to(row, i, n);
            seen[0][v] = v == 0 ? v_shift_in(before, seen[1][v]) : load_up_to(row, i - 1, n);
            seen[2][v] = load_up_to(row, i + 1, n);
        } else {
            const vec a = load_up_to(row, i, n), b = load_up_to(row, i + LANES, n);
            seen[1][v] = v_even(a, b);
            seen[2][v] = v_odd(a, b);
            seen[0][v] = v_shift_in(before, seen[2][v]);
            before = seen[2][v];
        }
    }
}

FC_INLINE void rows_slide(const struct rows_strip *t, const int stride, const int nv)
{
    const struct fc_conv2d *const p = t->p;
    const int live = stride == 1 ? 3 : 2;
    const vec bias = v_set1(t->bias);
    const ptrdiff_t last = p->ow - t->at - (nv - 1) * LANES; /* outputs of the last vector */
    real *out = t->out;
    vec acc[3][ROWS_VECTORS], w[9];

    FC_UNROLL for (int i = 0; i < 9; i++)
        w[i] = v_set1(t->weight[i]);
    FC_UNROLL for (int m = 0; m < live; m++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[m][v] = bias;
    /* Each turn ends an output row; the first one begins with the rows before. */
    for (ptrdiff_t i = 0; i < t->rows; i++, out += p->ow) {
        FC_UNROLL for (int r = 0; r < 3; r++) {
            const ptrdiff_t top = (t->y + i) * stride - p->top;
            ptrdiff_t y;
            vec seen[3][ROWS_VECTORS];
            if (i > 0 && r < 3 - stride)
                continue; /* the output rows before have added them */
            y = border_index(top + r, p->h, p->border_h);
            rows_see(y < 0 ? t->zeros : t->x + y * p->w, t->at, p->w, stride, nv, seen);
            FC_UNROLL for (int m = 0; m * stride <= r; m++)
                FC_UNROLL for (int s = 0; s < 3; s++)
                    FC_UNROLL for (int v = 0; v < nv; v++)
                        acc[m][v] = v_fma(w[3 * (r - m * stride) + s], seen[s][v], acc[m][v]);
        }
        FC_UNROLL for (int v = 0; v < nv; v++) {
            const vec y = activate(acc[0][v], tile_activation(p));
            if (v + 1 < nv || last >= LANES)
                v_store(out + v * LANES, y);
            else
                v_store_n(out + v * LANES, y, last);
        }
        FC_UNROLL for (int m = 0; m < live; m++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[m][v] = m + 1 < live ? acc[m + 1][v] : bias;
    }
}

#define ROWS_FUNCTION(stride, nv) \
    static void rows_##stride##_##nv(const struct rows_strip *t) { rows_slide(t, stride, nv); }
ROWS_STRIPS(ROWS_FUNCTION, 1)
ROWS_STRIPS(ROWS_FUNCTION, 2)

#define ROWS_NAME(stride, nv) rows_##stride##_##nv,
static void (*const rows_strips[2][ROWS_VECTORS])(const struct rows_strip *) = {
    {ROWS_STRIPS(ROWS_NAME, 1)}, {ROWS_STRIPS(ROWS_NAME, 2)},
};

static ptrdiff_t conv_depthwise_rows_units(const void *params)
{
    const struct fc_conv2d *p = params;
    assert(p->kh == 3 && p->kw == 3 && p->stride_h == p->stride_w && p->left == 1);
    return p->n * p->groups * ceil_div(p->oh, p->block_rows);
}

FC_SMALL size_t conv_depthwise_rows_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    return taken(p->w, sizeof(real));
}

static void conv_depthwise_rows(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t blocks = ceil_div(p->oh, p->block_rows), vectors = ceil_div(p->ow, LANES);
    const ptrdiff_t strips = ceil_div(vectors, ROWS_VECTORS);

    memset(scratch, 0, (size_t)p->w * sizeof(real));
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t plane = unit / blocks, y = unit % blocks * p->block_rows;
        struct rows_strip t = {.p = p, .zeros = scratch, .y = y,
                               .x = (const real *)p->x + plane * p->h * p->w,
                               .rows = FC_MIN(p->block_rows, p->oh - y)};
        for (ptrdiff_t m = plane * p->k; m < (plane + 1) * p->k; m++) {
            const ptrdiff_t k = m % (p->groups * p->k);
            t.weight = (const real *)p->weight + k * 9;
            t.bias = p->bias ? ((const real *)p->bias)[k] : 0;
            for (ptrdiff_t i = 0, done = 0, nv; i < strips; i++, done += nv) {
                nv = (vectors - done + strips - i - 1) / (strips - i);
                t.at = done * LANES;
                t.out = (real *)p->out + (m * p->oh + y) * p->ow + t.at;
                rows_strips[p->stride_w - 1][nv - 1](&t);
            }
            finish_planes(p, m, 1, y, t.rows, 0, p->ow);
        }
    }
}
