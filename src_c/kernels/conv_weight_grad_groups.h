/* The gradient of a grouped convolution by its weights with groups in the lanes, for few channels in
 * each of them (depthwise: one), and both layouts. (Output channels in the lanes: conv_weight_grad.h,
 * which says what is summed, in the same order.)
 *
 * A unit is block_k groups, whole vectors of them, and a part of the samples. Of a block of pixels its
 * dy, and what that sees of one input channel after the other, stand in scratch, LANES groups side by
 * side. For each pixel one vector of dy is loaded, and one of input for each of a few taps.
 *
 * Bound by those loads: 5 cycles for 9 taps of LANES pixels; transposing NCHW takes longer. */

/* Whose sums are in registers at once: 3x3 fills them, what others leave over is computed in vain. */
#define GROUP_TAPS 9

#define GROUP_AREAS(X)                                                                             \
    X(tap, group_taps(p))                                                                          \
    X(rows, p->nhwc ? 0 : l.pitch *LANES)                                                          \
    X(lines, l.count *l.width *LANES)                                                              \
    X(dy, p->k *p->block_rows *p->block_cols *LANES)                                               \
    X(sums, p->block_k *p->k *p->c *group_taps(p))

FC_INLINE ptrdiff_t group_taps(const struct fc_conv2d *p) { return round_up(p->kh * p->kw, GROUP_TAPS); }

static struct gradient_lines group_lines(const struct fc_conv2d *p, ptrdiff_t rows, ptrdiff_t cols)
{
    return gradient_lines(p, rows, cols, 1);
}

FC_SMALL size_t conv_weight_grad_groups_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct gradient_lines l = group_lines(p, p->block_rows, p->block_cols);
    return 0 GROUP_AREAS(GRADIENT_TAKEN);
}

static ptrdiff_t conv_weight_grad_groups_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->parts * ceil_div(p->groups, p->block_k);
}

/* Add a block's sums for GROUP_TAPS; `row` and `pixel` elements from what one output sees to the
 * next. */
static void group_tile(const struct gradient_unit *u, const real *x, const ptrdiff_t *tap,
                       ptrdiff_t row, ptrdiff_t pixel, const real *dy, real *sums)
{
    vec acc[GROUP_TAPS];
    const ptrdiff_t cols = u->cols;
    FC_UNROLL for (int i = 0; i < GROUP_TAPS; i++)
        acc[i] = v_set1(0);
    for (ptrdiff_t y = 0; y < u->rows; y++, x += row) {
        const real *from[GROUP_TAPS];
        FC_UNROLL for (int i = 0; i < GROUP_TAPS; i++)
            from[i] = x + tap[i];
        for (ptrdiff_t q = 0; q < cols; q++, dy += LANES) {
            vec each = v_load(dy);
            FC_KEEP(each);
            FC_UNROLL for (int i = 0; i < GROUP_TAPS; i++)
                acc[i] = v_fma(v_load(from[i] + q * pixel), each, acc[i]);
        }
    }
    FC_UNROLL for (int i = 0; i < GROUP_TAPS; i++)
        v_store(sums + i * LANES, v_add(v_load(sums + i * LANES), acc[i]));
}

/* A block of pixels of one vector of groups. */
static void group_block(const struct fc_conv2d *p, const struct gradient_unit *u,
                        const struct gradient_scratch *s, real *all_sums)
{
    const struct gradient_lines l = group_lines(p, u->rows, u->cols);
    const struct steps of = output_steps(p);
    const ptrdiff_t line = l.width * LANES, pixels = u->rows * u->cols, taps = group_taps(p);
    const ptrdiff_t pixel = p->stride_w / l.apart * LANES, row = l.step * line;

    for (ptrdiff_t i = 0; i < taps; i++)
        s->tap[i] = i < p->kh * p->kw
                        ? i / p->kw * p->dilation_h * line + i % p->kw * p->dilation_w * LANES
                        : 0;
    for (ptrdiff_t k = 0; k < p->k; k++)
        gradient_dy(p, u, k * of.channel, of.group, u->k, LANES, s->dy + k * pixels * LANES);
    for (ptrdiff_t c = 0; c < p->c; c++) {
        gradient_fill(p, u, &l, c, u->k, 1, LANES, s->rows, s->lines);
        for (ptrdiff_t k = 0; k < p->k; k++) {
            const real *const dy = s->dy + k * pixels * LANES;
            real *const sums = all_sums + (k * p->c + c) * taps * LANES;
            for (ptrdiff_t i = 0; i < taps; i += GROUP_TAPS)
                group_tile(u, s->lines, s->tap + i, row, pixel, dy, sums + i * LANES);
        }
    }
}

static void conv_weight_grad_groups(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const struct gradient_lines l = group_lines(p, p->block_rows, p->block_cols);
    const ptrdiff_t blocks = ceil_div(p->groups, p->block_k), pairs = p->k * p->c;
    const ptrdiff_t taps = p->kh * p->kw, all = pairs * taps, kept = pairs * group_taps(p);
    char *area = scratch;
    struct gradient_scratch s;
    GROUP_AREAS(GRADIENT_TAKE)
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        struct gradient_unit u = {.part = unit / blocks};
        const ptrdiff_t g0 = unit % blocks * p->block_k, groups = FC_MIN(p->block_k, p->groups - g0);
        real *const out = (real *)p->out + (u.part * p->groups + g0) * all;
        memset(s.sums, 0, (size_t)(p->block_k * kept) * sizeof(real));
        for (ptrdiff_t i = gradient_first(p, u.part); i < gradient_first(p, u.part + 1); i++) {
            gradient_find(p, &u, i);
            for (ptrdiff_t g = 0; g < groups; g += LANES) {
                u.g = g0 + g;
                u.k = FC_MIN(LANES, groups - g);
                u.fetched = g == 0 ? groups * FC_MAX(p->c, p->k) : 0;
                group_block(p, &u, &s, s.sums + g * kept);
            }
        }
        for (ptrdiff_t g = 0; g < groups; g++)
            for (ptrdiff_t i = 0; i < all; i++) {
                const ptrdiff_t at = i / taps * group_taps(p) + i % taps;
                out[g * all + i] = s.sums[g / LANES * LANES * kept + at * LANES + g % LANES];
            }
    }
}
