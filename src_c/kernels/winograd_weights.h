/* The weights of Winograd's convolution (conv_winograd.h), packed: transformed, and as they are. */

/* Packed weights: for each group and each product's output channels [point][channel of a phase][k], a
 * stretch of memory; then the weights themselves, for the tiles that are computed directly: for each
 * group and each vector of output channels [c][kh][kw][k]. */

/* A point's weights: of so many channels, and `width` output channels. */
FC_INLINE ptrdiff_t winograd_point(ptrdiff_t channels, ptrdiff_t width)
{
    return odd_lines(channels * width);
}
/* Where a point's weights begin in their stretch. */
static ptrdiff_t winograd_point_at(const struct fc_conv2d *p, ptrdiff_t width, ptrdiff_t point,
                                   int scheme)
{
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < point; i++)
        at += winograd_point((winograd_end_phase(i, scheme) - winograd_first_phase(i, scheme)) * p->c,
                             width);
    return at;
}
FC_INLINE ptrdiff_t winograd_stretch(const struct fc_conv2d *p, int scheme)
{
    return winograd_point_at(p, WINOGRAD_K, winograd_points(scheme), scheme);
}
FC_INLINE ptrdiff_t winograd_packed_group(const struct fc_conv2d *p, int scheme)
{
    return ceil_div(p->k, WINOGRAD_K) * winograd_stretch(p, scheme);
}
FC_INLINE ptrdiff_t winograd_plain_group(const struct fc_conv2d *p)
{
    return round_up(p->k, LANES) * p->c * p->kh * p->kw;
}
FC_NOINLINE ptrdiff_t winograd_packed(const struct fc_conv2d *p, int scheme)
{
    return p->groups * (winograd_packed_group(p, scheme) + winograd_plain_group(p));
}

/* Transform the weights of one phase of one input channel, and of LANES output channels: `plain` is
 * [9][LANES], dst + point[i] the first of them in point i. */
FC_INLINE void winograd_pack_phase(const real *plain, int phase, real *dst, const ptrdiff_t *point,
                                   const int scheme)
{
    const int side = winograd_side(scheme), taps = winograd_taps(scheme, 3);
    const int stride = winograd_stride(scheme);
    double w[9][LANES], rows[3 * WINOGRAD_SIDE][LANES], u[WINOGRAD_POINTS][LANES];
    for (int i = 0; i < taps * taps; i++) {
        const int row = i / taps * stride + winograd_phase_row(phase, scheme);
        const int col = i % taps * stride + winograd_phase_col(phase);
        for (int k = 0; k < LANES; k++)
            w[i][k] = row < 3 && col < 3 ? plain[(row * 3 + col) * LANES + k] : 0;
    }
    for (int i = 0; i < taps; i++)
        winograd_weight(w + taps * i, taps, 1, rows + side * i, 1, side);
    for (int i = 0; i < side; i++)
        winograd_weight(rows + i, taps, side, u + i, side, side);
    for (int i = 0; i < side * side; i++)
        if (phase >= winograd_first_phase(i, scheme) && phase < winograd_end_phase(i, scheme))
            for (int k = 0; k < LANES; k++)
                dst[point[i] + k] = (real)u[i][k];
}
/* The same of a kernel of one row. */
FC_INLINE void winograd_pack_row(const real *plain, int taps, real *dst, const ptrdiff_t *point, int side)
{
    double w[WINOGRAD_SIDE - 1][LANES], u[WINOGRAD_SIDE][LANES];
    for (int i = 0; i < taps; i++)
        for (int k = 0; k < LANES; k++)
            w[i][k] = plain[i * LANES + k];
    winograd_weight_row(w, taps, u, side);
    for (int i = 0; i < side; i++)
        for (int k = 0; k < LANES; k++)
            dst[point[i] + k] = (real)u[i][k];
}
/* Of any scheme. */
FC_NOINLINE void winograd_pack_any(const real *plain, int phase, int kw, real *dst, const ptrdiff_t *point,
                                   int scheme)
{
    if (winograd_is_row(scheme))
        winograd_pack_row(plain, kw, dst, point, winograd_side(scheme));
    else if (scheme == 4)
        winograd_pack_phase(plain, 0, dst, point, 4);
    else if (scheme == 5)
        winograd_pack_phase(plain, 0, dst, point, 5);
    else if (scheme == 6)
        winograd_pack_phase(plain, 0, dst, point, 6);
    else
        winograd_pack_phase(plain, phase, dst, point, WINOGRAD_PHASES + 5);
}

/* The weights of LANES output channels (`kept` of them real) and all input channels: dst is point 0 of
 * the first one, `width` output channels from one input channel to the next. */
FC_INLINE void winograd_pack_lanes(const struct fc_conv2d *p, const real *weight, ptrdiff_t kept,
                                   ptrdiff_t width, real *dst, int scheme)
{
    enum { CHANNELS = 8 }; /* at a time */
    const ptrdiff_t terms = p->kh * p->kw;
    ptrdiff_t point[WINOGRAD_POINTS];
    for (int i = 0; i < winograd_points(scheme); i++)
        point[i] = winograd_point_at(p, width, i, scheme) -
                   winograd_first_phase(i, scheme) * p->c * width;
    for (ptrdiff_t c0 = 0; c0 < p->c; c0 += CHANNELS) {
        const ptrdiff_t channels = FC_MIN(CHANNELS, p->c - c0);
        real plain[CHANNELS * WINOGRAD_TERMS * LANES];
        transpose_into(plain, LANES, weight + c0 * terms, p->c * terms, kept, channels * terms);
        for (ptrdiff_t c = 0; c < channels; c++)
            for (int phase = 0; phase < winograd_phases(scheme); phase++)
                winograd_pack_any(plain + c * terms * LANES, phase, (int)p->kw,
                                  dst + (phase * p->c + c0 + c) * width, point, scheme);
    }
}

/* Of any scheme: what is written for each of them is its transformation alone. */
FC_NOINLINE void winograd_pack(const struct fc_conv2d *p, real *dst, int scheme)
{
    const ptrdiff_t terms = p->c * p->kh * p->kw;
    const real *weight = p->weight;
    for (ptrdiff_t g = 0; g < p->groups; g++, weight += p->k * terms)
        for (ptrdiff_t k = 0; k < p->k; k += WINOGRAD_K, dst += winograd_stretch(p, scheme)) {
            const ptrdiff_t width = channel_vectors(p->k - k) * LANES;
            for (ptrdiff_t v = 0; v < width; v += LANES)
                winograd_pack_lanes(p, weight + (k + v) * terms, p->k - k - v, width, dst + v, scheme);
        }
    weight = p->weight;
    for (ptrdiff_t g = 0; g < p->groups; g++, weight += p->k * terms)
        for (ptrdiff_t k = 0; k < p->k; k += LANES, dst += LANES * terms)
            transpose_into(dst, LANES, weight + k * terms, terms, p->k - k, terms);
}
