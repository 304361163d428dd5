/* What follows a convolution's sums, in place over `out` while a block of it is in the cache: the
 * residual is added, the activation applied. Tiles apply a ReLU themselves (tile_activation());
 * with a residual or any other activation they store plain sums, and their kernel calls
 * finish_block(), or what it is made of, once for every output. */

/* Is anything left to do after the tiles? */
FC_INLINE int unfinished(const struct fc_conv2d *p)
{
    return p->residual || p->activation > FC_RELU;
}

FC_INLINE int tile_activation(const struct fc_conv2d *p)
{
    return unfinished(p) ? FC_LINEAR : p->activation;
}

FC_INLINE vec activated(const struct fc_conv2d *p, vec x, const int activation)
{
    switch (activation) {
    case FC_LEAKY_RELU: return leaky_relu(x, v_set1((real)p->slope));
    case FC_CLIP: return clip(x, v_set1((real)p->low), (real)p->high);
    case FC_HARD_SWISH: return hard_swish(x);
    case FC_SIGMOID: return sigmoid(x);
    case FC_TANH: return hyperbolic_tangent(x);
    case FC_SILU: return silu(x);
    case FC_GELU: return gelu(x);
    default: return activate(x, activation);
    }
}

/* Outputs [at, at + count) of the flat result. */
FC_INLINE void finish_with(const struct fc_conv2d *p, ptrdiff_t at, ptrdiff_t count,
                           const int activation)
{
    const real *const residual = p->residual ? (const real *)p->residual + at : NULL;
    real *const out = (real *)p->out + at;
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const vec y = load_up_to(out, i, count);
        const vec sum = residual ? v_add(y, load_up_to(residual, i, count)) : y;
        store_up_to(out, i, count, activated(p, sum, activation));
    }
}

static void finish_run(const struct fc_conv2d *p, ptrdiff_t at, ptrdiff_t count)
{
    switch (p->activation) {
    case FC_LINEAR: finish_with(p, at, count, FC_LINEAR); break;
    case FC_RELU: finish_with(p, at, count, FC_RELU); break;
    case FC_LEAKY_RELU: finish_with(p, at, count, FC_LEAKY_RELU); break;
    case FC_CLIP: finish_with(p, at, count, FC_CLIP); break;
    case FC_HARD_SWISH: finish_with(p, at, count, FC_HARD_SWISH); break;
    case FC_SIGMOID: finish_with(p, at, count, FC_SIGMOID); break;
    case FC_TANH: finish_with(p, at, count, FC_TANH); break;
    case FC_SILU: finish_with(p, at, count, FC_SILU); break;
    case FC_GELU: finish_with(p, at, count, FC_GELU); break;
    }
}

/* `runs` of them, `step` elements from one to the next, as one where nothing lies between. */
static void finish_runs(const struct fc_conv2d *p, ptrdiff_t at, ptrdiff_t runs, ptrdiff_t step,
                        ptrdiff_t count)
{
    if (count == step)
        finish_run(p, at, runs * count);
    else
        for (ptrdiff_t i = 0; i < runs; i++)
            finish_run(p, at + i * step, count);
}

/* NCHW: rows [y0, y0 + rows), columns [x0, x0 + cols) of the planes [plane, plane + planes), where
 * plane counts channels of all samples. */
static void finish_planes(const struct fc_conv2d *p, ptrdiff_t plane, ptrdiff_t planes,
                          ptrdiff_t y0, ptrdiff_t rows, ptrdiff_t x0, ptrdiff_t cols)
{
    if (unfinished(p))
        for (ptrdiff_t i = plane; i < plane + planes; i++)
            finish_runs(p, (i * p->oh + y0) * p->ow + x0, rows, p->ow, cols);
}

/* NHWC: `channels` from channel k on of the pixels [pixel, pixel + pixels) of all samples. */
static void finish_pixels(const struct fc_conv2d *p, ptrdiff_t pixel, ptrdiff_t pixels, ptrdiff_t k,
                          ptrdiff_t channels)
{
    const ptrdiff_t all = p->groups * p->k;
    if (unfinished(p))
        finish_runs(p, pixel * all + k, pixels, all, channels);
}

/* Both: rows [y0, y0 + rows), columns [x0, x0 + cols) of the channels [k, k + channels) of slice n. */
static void finish_block(const struct fc_conv2d *p, ptrdiff_t n, ptrdiff_t k, ptrdiff_t channels,
                         ptrdiff_t y0, ptrdiff_t rows, ptrdiff_t x0, ptrdiff_t cols)
{
    if (p->nhwc)
        for (ptrdiff_t y = y0; y < y0 + rows; y++)
            finish_pixels(p, (n * p->oh + y) * p->ow + x0, cols, k, channels);
    else
        for (ptrdiff_t i = n / p->od * p->groups * p->k + k; channels > 0; i++, channels--)
            finish_planes(p, i * p->od + n % p->od, 1, y0, rows, x0, cols);
}
