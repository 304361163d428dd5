/* Input in NCHW: a panel holds what a block of outputs sees of some channels, with the padding around
 * it. A stride s splits rows and columns into s * s phases, so that what neighbouring outputs see
 * through one tap are neighbours. Output (y, x) of the block stands at y * pitch + x, and each tap
 * is a constant shift away from it. */

#define NCHW_AHEAD (2048 / (ptrdiff_t)sizeof(real)) /* best of 2 to 8 KB */

struct nchw_panel {
    ptrdiff_t phases_h, phases_w; /* at most what a kernel covers: the others hold no tap */
    ptrdiff_t rows, pitch;    /* of one phase of one channel */
    ptrdiff_t phase, channel; /* elements from one to the next */
};

static struct nchw_panel nchw_panel(const struct fc_conv2d *p, ptrdiff_t rows, ptrdiff_t cols)
{
    struct nchw_panel panel;
    const ptrdiff_t more_rows = (p->kh - 1) * p->dilation_h / p->stride_h;
    const ptrdiff_t more_cols = (p->kw - 1) * p->dilation_w / p->stride_w;
    panel.phases_h = FC_MIN(p->stride_h, (p->kh - 1) * p->dilation_h + 1);
    panel.phases_w = FC_MIN(p->stride_w, (p->kw - 1) * p->dilation_w + 1);
    panel.rows = rows + more_rows;
    panel.pitch = cols + more_cols;
    /* The last row of narrow images is read in whole vectors. */
    panel.phase = panel.rows * panel.pitch + LANES;
    panel.channel = odd_lines(panel.phase * panel.phases_h * panel.phases_w);
    return panel;
}

/* How far tap (r, s) is from the output's own position. */
FC_INLINE ptrdiff_t nchw_tap(const struct fc_conv2d *p, const struct nchw_panel *panel, ptrdiff_t r,
                             ptrdiff_t s)
{
    const ptrdiff_t dy = r * p->dilation_h, dx = s * p->dilation_w;
    return (dy % p->stride_h * panel->phases_w + dx % p->stride_w) * panel->phase +
           dy / p->stride_h * panel->pitch + dx / p->stride_w;
}

/* What each tap of c channels adds to an output's position, in the order of the sums, for loops over
 * channels (their number is returned) and over `taps`. Where there is one tap per channel, the
 * channels are the taps: one long loop instead of many of one step. */
static ptrdiff_t nchw_taps(const struct fc_conv2d *p, const struct nchw_panel *panel, ptrdiff_t c,
                           ptrdiff_t *tap, ptrdiff_t *taps)
{
    const int product = p->kh * p->kw == 1;
    *taps = product ? c : p->kh * p->kw;
    for (ptrdiff_t i = 0; i < *taps; i++)
        tap[i] = product ? i * panel->channel : nchw_tap(p, panel, i / p->kw, i % p->kw);
    return product ? 1 : c;
}
FC_INLINE ptrdiff_t nchw_most_taps(const struct fc_conv2d *p)
{
    return FC_MAX(p->kh * p->kw, p->block_c);
}

/* Does any tap fall on this phase? */
FC_INLINE int nchw_phase_used(ptrdiff_t phase, ptrdiff_t k, ptrdiff_t dilation, ptrdiff_t stride)
{
    if (dilation == 1)
        return phase < k;
    for (ptrdiff_t i = 0; i < k && i < stride; i++)
        if (i * dilation % stride == phase)
            return 1;
    return 0;
}

/* dst = elements [first, first + count) of a line of n, border included. */
static void nchw_fill_row(real *dst, const real *src, ptrdiff_t n, ptrdiff_t first, ptrdiff_t count,
                          int border)
{
    ptrdiff_t a, b;
    border_inside(first, count, n, &a, &b);
    memcpy(dst + a, src + first + a, (size_t)(b - a) * sizeof(real));
    for (ptrdiff_t j = a > 0 ? 0 : b; j < count; j = j + 1 == a ? b : j + 1) {
        const ptrdiff_t i = border_index(first + j, n, border);
        dst[j] = i < 0 ? 0 : src[i];
    }
}

/* One row of one phase: dst[j] = element first + j * step of a line of n, border included. */
FC_INLINE void nchw_fill_phase(real *dst, const real *src, ptrdiff_t n, ptrdiff_t first,
                               ptrdiff_t count, const ptrdiff_t step, int border)
{
    const ptrdiff_t a = FC_MIN(count, first < 0 ? ceil_div(-first, step) : 0);
    const ptrdiff_t b = FC_MAX(a, FC_MIN(count, first < n ? ceil_div(n - first, step) : 0));
    if (b > a)
        split_phase(dst + a, src + first + a * step, b - a, step);
    for (ptrdiff_t j = a > 0 ? 0 : b; j < count; j = j + 1 == a ? b : j + 1) {
        const ptrdiff_t i = border_index(first + j * step, n, border);
        dst[j] = i < 0 ? 0 : src[i];
    }
}

/* One row of all phases of one channel; y may lie outside. */
static void nchw_fill_phases(const struct fc_conv2d *p, const struct nchw_panel *panel, real *dst,
                             const real *x, ptrdiff_t y, ptrdiff_t x0)
{
    const ptrdiff_t at = border_index(y, p->h, p->border_h), first = x0 * p->stride_w - p->left;
    const ptrdiff_t seen = FC_MIN(p->w, panel->pitch * p->stride_w);
    /* The next channel's row: the processor sees no stream in rows read by parity. */
    if (at >= 0 && p->stride_h > 1)
        for (ptrdiff_t i = 0; i < seen; i += 64 / (ptrdiff_t)sizeof(real))
            FC_PREFETCH(x + (p->d * p->h + at) * p->w + FC_MAX(first, 0) + i);
    for (ptrdiff_t pw = 0; pw < panel->phases_w; pw++, dst += panel->phase) {
        if (!nchw_phase_used(pw, p->kw, p->dilation_w, p->stride_w))
            continue;
        if (at < 0)
            memset(dst, 0, (size_t)panel->pitch * sizeof(real));
        else if (p->stride_w == 1)
            nchw_fill_row(dst, x + at * p->w, p->w, first, panel->pitch, p->border_w);
        else if (p->stride_w == 2) /* a number that divides fast */
            nchw_fill_phase(dst, x + at * p->w, p->w, first + pw, panel->pitch, 2, p->border_w);
        else
            nchw_fill_phase(dst, x + at * p->w, p->w, first + pw, panel->pitch, p->stride_w,
                            p->border_w);
    }
}

/* Rows of one channel at stride 1 that have zeros around them: what is the same for all of them is found
 * once. Whole vectors reach into the next row, which comes later, and that of the last row into what is
 * behind all of them. */
FC_NOINLINE void nchw_fill_rows(const struct fc_conv2d *p, const struct nchw_panel *panel, real *dst,
                                const real *x, ptrdiff_t y, ptrdiff_t first)
{
    ptrdiff_t begin, end;
    border_inside(first, panel->pitch, p->w, &begin, &end);
    for (ptrdiff_t i = panel->rows; i > 0; i--, y++, dst += panel->pitch) {
        const ptrdiff_t inside = y >= 0 && y < p->h ? end - begin : 0;
        const real *const row = inside ? x + y * p->w + first + begin : NULL;
        ptrdiff_t j = 0;
        for (; j < begin; j += LANES)
            v_store(dst + j, v_set1(0));
        for (j = begin; j < begin + inside; j += LANES) {
            FC_PREFETCH(row + j - begin + NCHW_AHEAD);
            v_store(dst + j, load_up_to(row, j - begin, inside));
        }
        for (; j < panel->pitch; j += LANES)
            v_store(dst + j, v_set1(0));
    }
}

/* One channel, for the outputs at (y0, x0). */
static void nchw_fill_channel(const struct fc_conv2d *p, const struct nchw_panel *panel, real *dst,
                              const real *x, ptrdiff_t y0, ptrdiff_t x0)
{
    const ptrdiff_t filled = panel->rows * panel->pitch;
    if (p->stride_h == 1 && p->stride_w == 1 && p->border_h == FC_CONSTANT &&
        p->border_w == FC_CONSTANT) {
        nchw_fill_rows(p, panel, dst, x, y0 - p->top, x0 - p->left);
        v_store(dst + filled, v_set1(0));
        return;
    }
    for (ptrdiff_t ph = 0; ph < panel->phases_h; ph++) {
        real *const phases = dst + ph * panel->phases_w * panel->phase;
        if (!nchw_phase_used(ph, p->kh, p->dilation_h, p->stride_h))
            continue;
        for (ptrdiff_t r = 0; r < panel->rows; r++)
            nchw_fill_phases(p, panel, phases + r * panel->pitch, x,
                             (y0 + r) * p->stride_h + ph - p->top, x0);
        /* Read, never used; zero because a denormal can cost a trap. */
        for (ptrdiff_t pw = 0; pw < panel->phases_w; pw++)
            memset(phases + pw * panel->phase + filled, 0,
                   (size_t)(panel->phase - filled) * sizeof(real));
    }
}

/* The panel of the channels [c, end) of a group for the outputs at (y0, x0) of slice n. */
static void nchw_fill(const struct fc_conv2d *p, const struct nchw_panel *panel, real *dst,
                      ptrdiff_t n, ptrdiff_t g, ptrdiff_t c, ptrdiff_t end, ptrdiff_t y0,
                      ptrdiff_t x0)
{
    const ptrdiff_t channel = input_steps(p).channel;
    while (c < end) {
        const struct slice_channels in = slice_channels(p, n, g, c, end);
        if (!in.x)
            memset(dst, 0, (size_t)(in.count * panel->channel) * sizeof(real));
        for (ptrdiff_t i = 0; in.x && i < in.count; i++)
            nchw_fill_channel(p, panel, dst + i * panel->channel, in.x + i * channel, y0, x0);
        dst += in.count * panel->channel;
        c += in.count;
    }
}
