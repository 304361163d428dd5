/* The gradient of a convolution by its bias: dy summed over samples and pixels, for both layouts.
 *
 * Each sample is summed on its own: in NCHW, where a unit is an output channel, pixel by pixel into
 * BIAS_SUMS sums in turn, which are added by halves, many channels at once; in NHWC, where a unit is a
 * vector of them, pixel by pixel. (One addition after the other takes as long as memory does.) */

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

/* The sums of a plane, halves of them added until one vector is left. */
FC_INLINE vec bias_grad_plane(const real *dy, ptrdiff_t pixels)
{
    vec acc[BIAS_SUMS / LANES];
    FC_UNROLL for (int v = 0; v < BIAS_SUMS / LANES; v++)
        acc[v] = v_set1(0);
    ptrdiff_t i = 0;
    for (; i + BIAS_SUMS <= pixels; i += BIAS_SUMS)
        FC_UNROLL for (int v = 0; v < BIAS_SUMS / LANES; v++)
            acc[v] = v_add(acc[v], v_load(dy + i + v * LANES));
    if (i < pixels)
        FC_UNROLL for (int v = 0; v < BIAS_SUMS / LANES; v++)
            acc[v] = v_add(acc[v], load_up_to(dy, i + v * LANES, pixels));
    FC_UNROLL for (int half = BIAS_SUMS / LANES / 2; half > 0; half /= 2)
        FC_UNROLL for (int v = 0; v < half; v++)
            acc[v] = v_add(acc[v], acc[v + half]);
    return acc[0];
}

/* The sums of `count` planes, at most LANES: what is left of each is turned around and added by halves. */
static vec bias_grad_planes(const real *dy, ptrdiff_t pixels, ptrdiff_t count)
{
    real lines[LANES * LANES];
    for (ptrdiff_t i = 0; i < LANES; i++)
        v_store(lines + i * LANES, i < count ? bias_grad_plane(dy + i * pixels, pixels) : v_set1(0));
    transpose_tile(lines, LANES, lines, LANES);
    for (ptrdiff_t half = LANES / 2; half > 0; half /= 2)
        for (ptrdiff_t i = 0; i < half; i++) {
            real *const line = lines + i * LANES;
            v_store(line, v_add(v_load(line), v_load(line + half * LANES)));
        }
    return v_load(lines);
}

static vec bias_grad_pixels(const real *dy, ptrdiff_t pixels, ptrdiff_t step, ptrdiff_t channels)
{
    vec sum = v_set1(0);
    for (ptrdiff_t i = 0; i < pixels; i++)
        sum = v_add(sum, load_up_to(dy + i * step, 0, channels));
    return sum;
}

/* Sample by sample: the planes of one are neighbours. */
static void bias_grad_channels(const struct fc_conv2d *p, ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t pixels = p->oh * p->ow;
    const real *dy = (const real *)p->dy;
    real *const out = p->out;
    memset(out + begin, 0, (size_t)(end - begin) * sizeof(real));
    for (ptrdiff_t n = 0; n < p->n; n++, dy += p->groups * p->k * pixels)
        for (ptrdiff_t unit = begin; unit < end; unit += LANES)
            store_up_to(out, unit, end, v_add(load_up_to(out, unit, end),
                                              bias_grad_planes(dy + unit * pixels, pixels, end - unit)));
}

static void conv_bias_grad(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t channels = p->groups * p->k, pixels = p->oh * p->ow, sample = channels * pixels;
    (void)scratch;
    if (!p->nhwc) {
        bias_grad_channels(p, begin, end);
        return;
    }
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t kept = FC_MIN(LANES, channels - unit * LANES);
        const real *const dy = (const real *)p->dy + unit * LANES;
        vec sum = v_set1(0);
        for (ptrdiff_t n = 0; n < p->n; n++)
            sum = v_add(sum, bias_grad_pixels(dy + n * sample, pixels, channels, kept));
        store_up_to((real *)p->out + unit * LANES, 0, kept, sum);
    }
}
