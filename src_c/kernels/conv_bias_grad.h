/* The gradient of a convolution by its bias: dy summed over samples and pixels, for both layouts.
 *
 * Each sample is summed on its own: in NCHW, where a unit is an output channel, pixel by pixel into
 * BIAS_SUMS sums in turn, which are added by halves; in NHWC, where a unit is a vector of them, pixel
 * by pixel. (One addition after the other takes as long as memory does.) */

#define BIAS_SUMS 32 /* a number of whole vectors on every ISA */

static ptrdiff_t conv_bias_grad_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->nhwc ? ceil_div(p->groups * p->k, LANES) : p->groups * p->k;
}

FC_SMALL size_t conv_bias_grad_scratch(const void *params)
{
    (void)params;
    return 0;
}

static real bias_grad_plane(const real *dy, ptrdiff_t pixels)
{
    vec acc[BIAS_SUMS / LANES];
    real sums[BIAS_SUMS];
    ptrdiff_t i = 0;
    FC_UNROLL for (int v = 0; v < BIAS_SUMS / LANES; v++)
        acc[v] = v_set1(0);
    for (; i + BIAS_SUMS <= pixels; i += BIAS_SUMS)
        FC_UNROLL for (int v = 0; v < BIAS_SUMS / LANES; v++)
            acc[v] = v_add(acc[v], v_load(dy + i + v * LANES));
    if (i < pixels)
        FC_UNROLL for (int v = 0; v < BIAS_SUMS / LANES; v++)
            acc[v] = v_add(acc[v], load_up_to(dy, i + v * LANES, pixels));
    FC_UNROLL for (int v = 0; v < BIAS_SUMS / LANES; v++)
        v_store(sums + v * LANES, acc[v]);
    return sum_by_halves(sums, BIAS_SUMS);
}

static vec bias_grad_pixels(const real *dy, ptrdiff_t pixels, ptrdiff_t step, ptrdiff_t channels)
{
    vec sum = v_set1(0);
    for (ptrdiff_t i = 0; i < pixels; i++)
        sum = v_add(sum, load_up_to(dy + i * step, 0, channels));
    return sum;
}

static void conv_bias_grad(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t channels = p->groups * p->k, pixels = p->oh * p->ow, sample = channels * pixels;
    (void)scratch;
    for (ptrdiff_t unit = begin; unit < end; unit++)
        if (p->nhwc) {
            const ptrdiff_t kept = FC_MIN(LANES, channels - unit * LANES);
            const real *const dy = (const real *)p->dy + unit * LANES;
            vec sum = v_set1(0);
            for (ptrdiff_t n = 0; n < p->n; n++)
                sum = v_add(sum, bias_grad_pixels(dy + n * sample, pixels, channels, kept));
            if (kept == LANES)
                v_store((real *)p->out + unit * LANES, sum);
            else
                v_store_n((real *)p->out + unit * LANES, sum, kept);
        } else {
            const real *const dy = (const real *)p->dy + unit * pixels;
            real sum = 0;
            for (ptrdiff_t n = 0; n < p->n; n++)
                sum += bias_grad_plane(dy + n * sample, pixels);
            ((real *)p->out)[unit] = sum;
        }
}
