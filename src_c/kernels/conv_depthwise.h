/* Depthwise convolution (one input and one output channel per group) with channels in the lanes,
 * for NHWC. Weights are packed as [kh][kw][channel], so every load is contiguous. (In NCHW a plane
 * per group has its pixels in the lanes: conv_direct_pixel.h.)
 *
 * Bound by loads: a vector of input and one of weights per multiply-add; DEPTHWISE_PIXELS outputs
 * share each load of weights. */

#define DEPTHWISE_PIXELS 4

static ptrdiff_t conv_depthwise_packed(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->groups * p->kh * p->kw;
}

static void conv_depthwise_pack(const void *params, void *packed)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t taps = p->kh * p->kw;
    const real *const weight = p->weight;
    real *dst = packed;
    for (ptrdiff_t i = 0; i < taps; i++)
        for (ptrdiff_t g = 0; g < p->groups; g++)
            *dst++ = weight[g * taps + i];
}

static ptrdiff_t conv_depthwise_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->n * ceil_div(p->oh, p->block_rows);
}

static size_t conv_depthwise_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    return taken(nhwc_scratch(p, p->groups), sizeof(real));
}

/* Some pixels from x on, step elements apart, for `lanes` channels. */
FC_INLINE void depthwise_tile(const struct fc_conv2d *p, const struct nhwc_rows *in, const real *x,
                              ptrdiff_t step, const real *weight, vec bias, real *out,
                              const int pixels, ptrdiff_t lanes)
{
    const ptrdiff_t channels = p->groups;
    vec acc[DEPTHWISE_PIXELS];

    FC_UNROLL for (int i = 0; i < pixels; i++)
        acc[i] = bias;
    for (ptrdiff_t r = 0; r < p->kh; r++)
        for (ptrdiff_t s = 0; s < p->kw; s++, weight += channels) {
            const real *const at = x + r * p->dilation_h * in->row + s * p->dilation_w * in->pixel;
            const vec w = lanes == LANES ? v_load(weight) : v_load_n(weight, lanes);
            FC_UNROLL for (int i = 0; i < pixels; i++)
                acc[i] = v_fma(w, lanes == LANES ? v_load(at + i * step)
                                                 : v_load_n(at + i * step, lanes), acc[i]);
        }
    FC_UNROLL for (int i = 0; i < pixels; i++) {
        const vec y = activate(acc[i], tile_activation(p));
        if (lanes == LANES)
            v_store(out + i * channels, y);
        else
            v_store_n(out + i * channels, y, lanes);
    }
}

static void depthwise_row(const struct fc_conv2d *p, const struct nhwc_rows *in, const real *x,
                          real *out)
{
    const ptrdiff_t channels = p->groups, step = p->stride_w * in->pixel;
    const real *const weight = p->weight, *const bias = p->bias;
    for (ptrdiff_t c = 0; c < channels; c += LANES) {
        const ptrdiff_t lanes = FC_MIN(LANES, channels - c);
        const vec b = !bias ? v_set1(0) : lanes == LANES ? v_load(bias + c)
                                                         : v_load_n(bias + c, lanes);
        ptrdiff_t i = 0;
        for (; i + DEPTHWISE_PIXELS <= p->ow; i += DEPTHWISE_PIXELS)
            depthwise_tile(p, in, x + i * step + c, step, weight + c, b, out + i * channels + c,
                           DEPTHWISE_PIXELS, lanes);
        for (; i < p->ow; i++)
            depthwise_tile(p, in, x + i * step + c, step, weight + c, b, out + i * channels + c, 1,
                           lanes);
    }
}

static void conv_depthwise(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t blocks = ceil_div(p->oh, p->block_rows);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t n = unit / blocks, y0 = unit % blocks * p->block_rows;
        const ptrdiff_t rows = FC_MIN(p->block_rows, p->oh - y0);
        const struct nhwc_rows in = nhwc_rows(p, n, 0, p->groups, y0, rows, scratch);
        for (ptrdiff_t i = 0; i < rows; i++)
            depthwise_row(p, &in, in.first + i * p->stride_h * in.row,
                          (real *)p->out + (n * p->oh + y0 + i) * p->ow * p->groups);
        finish_pixels(p, (n * p->oh + y0) * p->ow, rows * p->ow, 0, p->groups);
    }
}
