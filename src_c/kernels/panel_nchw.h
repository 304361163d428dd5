/* Input in NCHW: a panel holds what a block of outputs sees of some channels, with the padding around
 * it. A stride s splits rows and columns into s * s phases, so that what neighbouring outputs see
 * through one tap are neighbours. Output (y, x) of the block stands at y * pitch + x, and each tap
 * is a constant shift away from it. */

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

/* The row that nchw_fill() splits into phases: what its phases see of the image, ... */
FC_INLINE ptrdiff_t nchw_seen(const struct fc_conv2d *p, const struct nchw_panel *panel)
{
    return (panel->pitch - 1) * p->stride_w + panel->phases_w;
}
/* ... and what whole vectors read past it. */
FC_INLINE ptrdiff_t nchw_line(const struct fc_conv2d *p, const struct nchw_panel *panel)
{
    return odd_lines(nchw_seen(p, panel) + 4 * LANES);
}
/* All lines that nchw_fill() needs at a time. */
FC_INLINE ptrdiff_t nchw_lines(const struct fc_conv2d *p, const struct nchw_panel *panel)
{
    return p->stride_w == 1 ? 0 : panel->rows * nchw_line(p, panel);
}

/* Does any tap fall on this phase? */
FC_INLINE int nchw_phase_used(ptrdiff_t phase, ptrdiff_t k, ptrdiff_t dilation, ptrdiff_t stride)
{
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

/* dst[j] = row[j * step] */
static void nchw_split(real *dst, const real *row, ptrdiff_t count, ptrdiff_t step)
{
    ptrdiff_t j = 0;
    if (step == 2 || step == 4)
        for (; j < count; j += LANES) {
            const real *const at = row + j * step;
            const vec low = v_even(v_load(at), v_load(at + LANES));
            const vec every = step == 2 ? low
                                        : v_even(low, v_even(v_load(at + 2 * LANES),
                                                             v_load(at + 3 * LANES)));
            if (count - j >= LANES)
                v_store(dst + j, every);
            else
                v_store_n(dst + j, every, count - j);
        }
    else
        for (; j < count; j++)
            dst[j] = row[j * step];
}

/* One row of all phases of one channel, from its line; or zeros. */
static void nchw_split_phases(const struct fc_conv2d *p, const struct nchw_panel *panel, real *dst,
                              const real *line)
{
    for (ptrdiff_t pw = 0; pw < panel->phases_w; pw++, dst += panel->phase) {
        if (!nchw_phase_used(pw, p->kw, p->dilation_w, p->stride_w))
            continue;
        if (!line)
            memset(dst, 0, (size_t)panel->pitch * sizeof(real));
        else
            nchw_split(dst, line + pw, panel->pitch, p->stride_w);
    }
}

/* The panel of c channels from x on for the outputs at (y0, x0). */
static void nchw_fill(const struct fc_conv2d *p, const struct nchw_panel *panel, real *dst,
                      real *lines, const real *x, ptrdiff_t c, ptrdiff_t y0, ptrdiff_t x0)
{
    const ptrdiff_t filled = panel->rows * panel->pitch, first = x0 * p->stride_w - p->left;
    for (ptrdiff_t i = 0; i < c; i++, x += p->h * p->w, dst += panel->channel)
        for (ptrdiff_t ph = 0; ph < panel->phases_h; ph++) {
            real *const phases = dst + ph * panel->phases_w * panel->phase;
            if (!nchw_phase_used(ph, p->kh, p->dilation_h, p->stride_h))
                continue;
            /* With a stride all rows first: a load that straddles two stores waits until both have
             * left the store buffer. */
            for (int split = p->stride_w == 1; split < 2; split++)
                for (ptrdiff_t r = 0; r < panel->rows; r++) {
                    const ptrdiff_t y = (y0 + r) * p->stride_h + ph - p->top;
                    const ptrdiff_t at = border_index(y, p->h, p->border_h);
                    real *const line = lines + r * nchw_line(p, panel);
                    real *const row = phases + r * panel->pitch;
                    if (split && (at < 0 || p->stride_w > 1))
                        nchw_split_phases(p, panel, row, at < 0 ? NULL : line);
                    else if (at >= 0)
                        nchw_fill_row(split ? row : line, x + at * p->w, p->w, first,
                                      split ? panel->pitch : nchw_seen(p, panel), p->border_w);
                }
            /* Read, never used; zero because a denormal can cost a trap. */
            for (ptrdiff_t pw = 0; pw < panel->phases_w; pw++)
                memset(phases + pw * panel->phase + filled, 0,
                       (size_t)(panel->phase - filled) * sizeof(real));
        }
}
