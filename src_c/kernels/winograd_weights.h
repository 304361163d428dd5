/* The weights of Winograd's convolution (conv_winograd.h), packed: transformed, and as they are. */

/* Packed weights: for each group and each product's output channels [point][c][k], a stretch of
 * memory; then the weights themselves, for the tiles that are computed directly. */
FC_INLINE ptrdiff_t winograd_point(const struct fc_conv2d *p, ptrdiff_t width)
{
    return odd_lines(p->c * width);
}
FC_INLINE ptrdiff_t winograd_stretch(const struct fc_conv2d *p, const int m)
{
    return winograd_points(m) * winograd_point(p, WINOGRAD_K);
}
FC_INLINE ptrdiff_t winograd_packed_group(const struct fc_conv2d *p, const int m)
{
    return ceil_div(p->k, WINOGRAD_K) * winograd_stretch(p, m);
}
FC_INLINE ptrdiff_t winograd_packed(const struct fc_conv2d *p, const int m)
{
    return p->groups * (winograd_packed_group(p, m) + p->k * p->c * 9);
}

/* Transform the weights of LANES output channels (`kept` of them real) and all input channels: dst is
 * point 0 of the first one, `width` output channels from one input channel to the next. */
FC_INLINE void winograd_pack_lanes(const struct fc_conv2d *p, const real *weight, ptrdiff_t kept,
                                   ptrdiff_t width, real *dst, const int m)
{
    enum { CHANNELS = 8 }; /* at a time */
    const int side = m + 2;
    for (ptrdiff_t c0 = 0; c0 < p->c; c0 += CHANNELS) {
        const ptrdiff_t channels = FC_MIN(CHANNELS, p->c - c0);
        real plain[CHANNELS * 9 * LANES];
        transpose_into(plain, LANES, weight + c0 * 9, p->c * 9, kept, channels * 9);
        for (ptrdiff_t c = 0; c < channels; c++) {
            double w[9][LANES], rows[3 * WINOGRAD_SIDE][LANES], u[WINOGRAD_POINTS][LANES];
            for (int i = 0; i < 9; i++)
                for (int k = 0; k < LANES; k++)
                    w[i][k] = plain[(c * 9 + i) * LANES + k];
            for (int i = 0; i < 3; i++)
                winograd_weight(w + 3 * i, 1, rows + side * i, 1, m);
            for (int i = 0; i < side; i++)
                winograd_weight(rows + i, side, u + i, side, m);
            for (ptrdiff_t i = 0; i < side * side; i++)
                for (int k = 0; k < LANES; k++)
                    dst[i * winograd_point(p, width) + (c0 + c) * width + k] = (real)u[i][k];
        }
    }
}

FC_INLINE void winograd_pack(const struct fc_conv2d *p, real *dst, const int m)
{
    const real *weight = p->weight;
    for (ptrdiff_t g = 0; g < p->groups; g++) {
        for (ptrdiff_t k = 0; k < p->k; k += WINOGRAD_K, dst += winograd_stretch(p, m)) {
            const ptrdiff_t width = channel_vectors(p->k - k) * LANES;
            for (ptrdiff_t v = 0; v < width; v += LANES)
                winograd_pack_lanes(p, weight + ((g * p->k) + k + v) * p->c * 9, p->k - k - v,
                                    width, dst + v, m);
        }
    }
    memcpy(dst, weight, (size_t)(p->groups * p->k * p->c * 9) * sizeof(real));
}
