/* Winograd convolution, for both layouts. Of 3x3 kernels: F(4x4, 3x3) with 36 multiplications for 16
 * outputs instead of 144; of fewer channels F(3x3, 3x3) with 25 for 9 instead of 81, whose error is smaller;
 * of small results F(2x2, 3x3) with 16 for 4 instead of 36; and at stride 2, where the image
 * falls into four phases that meet at most 2x2 weights each, F(4x4, 2x2) with 81 for 16 instead of 144.
 * Of kernels of one row, as those of series: F(4, 3), F(3, 4) and F(2, 5), with 6 multiplications
 * instead of 12, 12 and 10, or F(6, 3) to F(2, 7), with 8 instead of 18, 20, 20, 18 and 14.
 *
 * A unit is a block of tiles of m x m outputs (or a row of m), and of output channels, of one group.
 * Rows of tiles are counted through all samples, so that small images share what is read of the weights:
 *   1. each channel's patches of inputs are transformed, channels in the lanes, into as
 *      many planes, one for each point;
 *   2. for the output channels of one register tile at a time, plane by plane, a matrix product with
 *      the transformed weights, output channels in the lanes (winograd_product.h);
 *   3. its result is transformed back, with the bias, and stored as conv_direct_channel.h does.
 * Nothing of the image's size is kept in between. The weights stream by once per unit: those of the
 * next point are fetched while a point's products are computed.
 *
 * The transforms mix the elements of a patch. What is not finite there, or overflows, stays so, and
 * shows in a tile's outputs. Such a tile is computed again, directly, for the output channels in
 * which it shows. */

FC_NOINLINE ptrdiff_t winograd_units(const struct fc_conv2d *p, int scheme)
{
    const int m = winograd_m_rows(scheme);
    assert(p->kh == (winograd_is_row(scheme) ? 1 : 3) && p->kw >= 3);
    assert(p->kw < (winograd_is_row(scheme) ? winograd_side(scheme) : 4));
    assert(p->block_rows % m == 0 && p->block_cols % winograd_m(scheme, p->kw) == 0 && p->block_k > 0);
    assert(p->block_k >= p->k || p->block_k % 64 == 0); /* blocks begin at a packed tile */
    return p->groups * ceil_div(p->k, p->block_k) *
           ceil_div(p->n * winograd_rows(p, scheme), p->block_rows / m) *
           ceil_div(p->ow, p->block_cols);
}

static void winograd_unit(const struct winograd_unit *u, char *area, int scheme)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const struct winograd_scratch s = winograd_take(b, scheme, area);
    struct winograd_run run;

    winograd_input(u, &s, scheme);
    for (ptrdiff_t k = u->k0; k < u->k1; k += WINOGRAD_K) {
        const int nv = channel_vectors(u->k1 - k);
        copy_up_to(s.bias, nv * LANES, u->bias, k, u->k1);
        winograd_products(u, &s, u->weight + k / WINOGRAD_K * winograd_stretch(p, scheme), nv,
                          scheme);
        for (int v = 0; v < nv; v++)
            winograd_output(u, &s, v, nv, k + v * LANES, FC_MIN(LANES, u->k1 - k - v * LANES),
                            scheme);
    }
    for (ptrdiff_t r = 0; r < b->rows; r += run.rows) {
        run = winograd_run(u, r, scheme);
        finish_block(p, run.n, u->g * p->k + u->k0, u->k1 - u->k0, run.y, run.height, u->x0,
                     u->cols);
    }
}

/* Unit number `unit` of a call. */
static struct winograd_unit winograd_find_unit(const struct fc_conv2d *p, ptrdiff_t unit, int scheme)
{
    const ptrdiff_t all_rows = p->n * winograd_rows(p, scheme);
    const ptrdiff_t block_rows = p->block_rows / winograd_m_rows(scheme);
    const ptrdiff_t blocks_k = ceil_div(p->k, p->block_k);
    const ptrdiff_t blocks_y = ceil_div(all_rows, block_rows);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    struct winograd_unit u = {.p = p, .from = input_steps(p), .to = output_steps(p)};
    u.x0 = unit % blocks_x * p->block_cols;
    u.r0 = (unit /= blocks_x) % blocks_y * block_rows;
    u.k0 = (unit /= blocks_y) % blocks_k * p->block_k;
    u.g = unit / blocks_k;
    u.cols = FC_MIN(p->block_cols, p->ow - u.x0);
    u.k1 = FC_MIN(u.k0 + p->block_k, p->k);
    u.seen_rows = (p->oh - 1) * p->stride_h + p->kh - p->top;
    u.seen_cols = (p->ow - 1) * p->stride_w + p->kw - p->left;
    u.block = winograd_block(p, FC_MIN(block_rows, all_rows - u.r0), u.cols, scheme);
    u.weight = (const real *)p->weight + u.g * winograd_packed_group(p, scheme);
    u.plain = (const real *)p->weight + p->groups * winograd_packed_group(p, scheme) +
              u.g * winograd_plain_group(p);
    u.bias = p->bias ? (const real *)p->bias + u.g * p->k : NULL;
    u.out = (real *)p->out + u.g * u.to.group;
    return u;
}

FC_NOINLINE void winograd(const struct fc_conv2d *p, ptrdiff_t begin, ptrdiff_t end, void *scratch,
                          int scheme)
{
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct winograd_unit u = winograd_find_unit(p, unit, scheme);
        winograd_unit(&u, scratch, scheme);
    }
    v_stream_end();
}

#define WINOGRAD_FUNCTIONS(what, name, scheme)                                                     \
    static ptrdiff_t what##_##name##_units(const void *p) { return winograd_units(p, scheme); }    \
    static size_t what##_##name##_scratch(const void *p) { return winograd_scratch(p, scheme); }   \
    static ptrdiff_t what##_##name##_packed(const void *p) { return winograd_packed(p, scheme); }  \
    static void what##_##name##_pack(const void *p, void *packed)                                  \
    {                                                                                              \
        winograd_pack(p, packed, scheme);                                                          \
    }                                                                                              \
    static void what##_##name(const void *p, ptrdiff_t begin, ptrdiff_t end, void *scratch)        \
    {                                                                                              \
        winograd(p, begin, end, scratch, scheme);                                                  \
    }
WINOGRAD_SCHEMES(WINOGRAD_FUNCTIONS, conv_winograd)
