/* The gradient of a convolution of few input channels by its weights in NCHW, of columns that are not
 * strided, with pixels in the lanes. (Others have output channels in them, whose pixels are turned around
 * first: conv_weight_grad.h; or groups: conv_weight_grad_groups.h.)
 *
 * A unit is an input channel, output channels of its group, and a part of the samples. The input that a
 * block of rows sees stands in a panel with the padding around it. Where rows do not fill vectors the panel
 * has a copy for each column of taps, of as many columns as dy: rows are joined, and fill them together.
 * PANEL_SUMS sums of every tap take turns along the rows of dy; they begin with 0 for each block, are
 * added to those of the blocks before it, and in the end by halves. `parts` results stand in `out` one after
 * the other.
 *
 * Bound by loads where each input channel has one output channel: for a vector of dy and 3x3 taps 10, most
 * across a cache line, for 9 multiply-adds. With PANEL_CHANNELS of them, 4, it is 7 for 12. */

#define PANEL_SUMS 16 /* a number of whole vectors on every ISA */
/* Rows and columns of taps of an output channel whose sums are in registers at once, enough for the latency
 * of an addition; or of one row of taps, of so many output channels, where the last 5 columns may be one
 * tile. */
#define PANEL_TAP_ROWS (VEC_REGS == 32 ? 3 : 1)
#define PANEL_TAP_COLUMNS 3
#define PANEL_COPIES 6 /* at most */
#define PANEL_CHANNELS FC_MAX(1, FC_MIN(VEC_REGS * LANES / 64, 4))
#define PANEL_LAST_COLUMNS \
    (PANEL_CHANNELS * 5 * (PANEL_SUMS / LANES) < VEC_REGS ? 5 : PANEL_TAP_COLUMNS)

/* What the most rows of outputs of a block see. Taps that there are not are read, too, and left: sums of a
 * row of taps are of a multiple of PANEL_TAP_COLUMNS. */
struct gradient_panel {
    ptrdiff_t rows, width, pitch;
    ptrdiff_t copies, step; /* from one column of taps to the next */
    ptrdiff_t size;         /* of all copies */
    ptrdiff_t cols, row_sums, channel_sums;
};

/* The rows of the padded input that some rows of outputs see. */
FC_INLINE ptrdiff_t gradient_panel_seen(const struct fc_conv2d *p, ptrdiff_t rows)
{
    return (rows - 1) * p->stride_h + (p->kh - 1) * p->dilation_h + 1;
}

FC_INLINE int gradient_panel_joins(const struct fc_conv2d *p)
{
    return p->stride_h == 1 && p->ow % PANEL_SUMS != 0 && p->kw <= PANEL_COPIES;
}

FC_INLINE struct gradient_panel gradient_panel(const struct fc_conv2d *p)
{
    const int joins = gradient_panel_joins(p);
    struct gradient_panel panel;
    panel.rows = gradient_panel_seen(p, p->block_rows);
    panel.cols = round_up(p->kw, PANEL_TAP_COLUMNS);
    panel.copies = joins ? panel.cols : 1;
    panel.width = p->ow + (joins ? 0 : (p->kw - 1) * p->dilation_w);
    panel.pitch = joins ? p->ow
                        : odd_lines(round_up(p->ow, PANEL_SUMS) + (panel.cols - 1) * p->dilation_w);
    panel.step = joins ? odd_lines(panel.rows * panel.pitch + LANES) : p->dilation_w;
    panel.size = (joins ? panel.copies * panel.step : panel.rows * panel.pitch) + LANES;
    panel.row_sums = panel.cols * PANEL_SUMS;
    panel.channel_sums = p->kh * panel.row_sums;
    return panel;
}

#define GRADIENT_PLANE_AREAS(X) \
    X(rows, panel.size)         \
    X(sums, FC_MIN(p->block_k, p->k) * panel.channel_sums)

FC_SMALL size_t conv_weight_grad_planes_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct gradient_panel panel = gradient_panel(p);
    return 0 GRADIENT_PLANE_AREAS(GRADIENT_TAKEN);
}

static ptrdiff_t conv_weight_grad_planes_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->parts * p->groups * p->c * ceil_div(p->k, p->block_k);
}

/* What some output rows from y0 on see of a plane, or of zeros around all planes. */
FC_NOINLINE void gradient_panel_fill(const struct fc_conv2d *p, const real *x, ptrdiff_t y0, ptrdiff_t rows,
                                     const struct gradient_panel *panel, real *dst)
{
    const struct nchw_panel lines = {.rows = gradient_panel_seen(p, rows), .pitch = panel->pitch};
    const int zeros = p->border_h == FC_CONSTANT && p->border_w == FC_CONSTANT;
    for (ptrdiff_t copy = 0; copy < panel->copies; copy++, dst += panel->step) {
        const ptrdiff_t first = copy * p->dilation_w - p->left;
        if (x && zeros && p->stride_h == 1) {
            nchw_fill_rows(p, &lines, dst, x, y0 - p->top, first);
            continue;
        }
        for (ptrdiff_t i = 0; i < lines.rows; i++) {
            real *const row = dst + i * lines.pitch;
            const ptrdiff_t at =
                x ? border_index(y0 * p->stride_h - p->top + i, p->h, p->border_h) : -1;
            if (at < 0)
                memset(row, 0, (size_t)panel->width * sizeof(real));
            else
                nchw_fill_row(row, x + at * p->w, p->w, first, panel->width, p->border_w);
            memset(row + panel->width, 0, (size_t)(lines.pitch - panel->width) * sizeof(real));
        }
    }
}

/* What a tile sees and adds to. */
struct gradient_panel_tile {
    const struct gradient_panel *panel;
    const real *x, *dy;
    real *sums;
    ptrdiff_t rows, width; /* of dy */
    ptrdiff_t apart;       /* of x from one row of taps to the next */
    ptrdiff_t channel;     /* from one channel of dy to the next */
};

typedef vec gradient_panel_sums[PANEL_CHANNELS][PANEL_TAP_ROWS][PANEL_LAST_COLUMNS][PANEL_SUMS / LANES];

/* PANEL_SUMS pixels of a row, or what is left of `width` there: zeros by zeros past the end of dy, as pixels
 * there may be infinite. */
FC_INLINE void gradient_panel_step(gradient_panel_sums acc, const struct gradient_panel_tile *t,
                                   const real *x, ptrdiff_t step, const real *dy, ptrdiff_t i, ptrdiff_t width,
                                   const int nr, const int ns, const int nk, const int whole)
{
    FC_UNROLL for (int v = 0; v < PANEL_SUMS / LANES; v++) {
        const ptrdiff_t at = i + v * LANES;
        vec each[PANEL_CHANNELS];
        FC_UNROLL for (int k = 0; k < nk; k++) {
            const real *const from = dy + k * t->channel;
            each[k] = whole ? v_load(from + at) : load_up_to(from, at, width);
            FC_KEEP(each[k]);
        }
        FC_UNROLL for (int r = 0; r < nr; r++)
            FC_UNROLL for (int s = 0; s < ns; s++) {
                const real *const from = x + r * t->apart + s * step;
                const vec pixels = whole ? v_load(from + at) : load_up_to(from, at, width);
                FC_UNROLL for (int k = 0; k < nk; k++)
                    acc[k][r][s][v] = v_fma(pixels, each[k], acc[k][r][s][v]);
            }
    }
}

/* Add to the sums of `ns` neighbours, of `nr` rows of taps and `nk` output channels. */
FC_INLINE void gradient_panel_taps(const struct fc_conv2d *p, const struct gradient_panel_tile *tile,
                                   const int nr, const int ns, const int nk)
{
    const struct gradient_panel_tile t = *tile;
    const ptrdiff_t width = t.width, whole = width - width % PANEL_SUMS;
    const ptrdiff_t down = p->stride_h * t.panel->pitch, step = t.panel->step;
    const real *x = t.x, *dy = t.dy;
    gradient_panel_sums acc;
    FC_UNROLL for (int k = 0; k < nk; k++)
        FC_UNROLL for (int r = 0; r < nr; r++)
            FC_UNROLL for (int s = 0; s < ns; s++)
                FC_UNROLL for (int v = 0; v < PANEL_SUMS / LANES; v++)
                    acc[k][r][s][v] = v_set1(0);
    for (ptrdiff_t y = 0; y < t.rows; y++, dy += width, x += down) {
        for (ptrdiff_t i = 0; i < whole; i += PANEL_SUMS)
            gradient_panel_step(acc, &t, x, step, dy, i, width, nr, ns, nk, 1);
        if (whole < width)
            gradient_panel_step(acc, &t, x, step, dy, whole, width, nr, ns, nk, 0);
    }
    FC_UNROLL for (int k = 0; k < nk; k++)
        FC_UNROLL for (int r = 0; r < nr; r++)
            FC_UNROLL for (int s = 0; s < ns; s++) {
                real *const sums = t.sums + (k * p->kh + r) * t.panel->row_sums + s * PANEL_SUMS;
                FC_UNROLL for (int v = 0; v < PANEL_SUMS / LANES; v++)
                    v_store(sums + v * LANES, v_add(v_load(sums + v * LANES), acc[k][r][s][v]));
            }
}

FC_NOINLINE void gradient_panel_channels(const struct fc_conv2d *p, const struct gradient_panel_tile *tile)
{
    gradient_panel_taps(p, tile, 1, PANEL_TAP_COLUMNS, PANEL_CHANNELS);
}
FC_NOINLINE void gradient_panel_last(const struct fc_conv2d *p, const struct gradient_panel_tile *tile)
{
    gradient_panel_taps(p, tile, 1, PANEL_LAST_COLUMNS, PANEL_CHANNELS);
}
FC_NOINLINE void gradient_panel_rows(const struct fc_conv2d *p, const struct gradient_panel_tile *tile)
{
    gradient_panel_taps(p, tile, PANEL_TAP_ROWS, PANEL_TAP_COLUMNS, 1);
}
FC_NOINLINE void gradient_panel_row(const struct fc_conv2d *p, const struct gradient_panel_tile *tile)
{
    gradient_panel_taps(p, tile, 1, PANEL_TAP_COLUMNS, 1);
}

/* The next sample's plane lies far away, where the processor sees no stream. */
FC_INLINE void gradient_fetch_plane(const real *plane, ptrdiff_t pixels)
{
    for (ptrdiff_t i = 0; i < pixels; i += 64 / (ptrdiff_t)sizeof(real))
        FC_PREFETCH_L2(plane + i);
}

/* All taps of a block's rows of outputs, whose input stands in a panel, for `count` output channels; dy of
 * the next sample, if any, is `ahead` further on. */
FC_NOINLINE void gradient_panel_block(const struct fc_conv2d *p, struct gradient_panel_tile t,
                                      const real *x, const real *dy, ptrdiff_t count, ptrdiff_t ahead,
                                      real *sums)
{
    const struct gradient_panel *const panel = t.panel;
    for (ptrdiff_t k = 0, nk; k < count; k += nk) {
        const int several = PANEL_CHANNELS > 1 && count - k >= PANEL_CHANNELS;
        nk = several ? PANEL_CHANNELS : 1;
        t.dy = dy + k * t.channel;
        for (ptrdiff_t i = 0; ahead && i < nk; i++)
            gradient_fetch_plane(t.dy + i * t.channel + ahead, t.rows * t.width);
        for (ptrdiff_t i = 0, nr; i < p->kh; i += nr) {
            nr = !several && p->kh - i >= PANEL_TAP_ROWS ? PANEL_TAP_ROWS : 1;
            for (ptrdiff_t j = 0, ns; j < p->kw; j += ns) {
                const int last = several && PANEL_LAST_COLUMNS > PANEL_TAP_COLUMNS &&
                                 PANEL_LAST_COLUMNS == p->kw - j;
                ns = last ? PANEL_LAST_COLUMNS : PANEL_TAP_COLUMNS;
                t.x = x + i * t.apart + j * panel->step;
                t.sums = sums + k * panel->channel_sums + i * panel->row_sums + j * PANEL_SUMS;
                if (last)
                    gradient_panel_last(p, &t);
                else if (several)
                    gradient_panel_channels(p, &t);
                else if (PANEL_TAP_ROWS > 1 && nr > 1)
                    gradient_panel_rows(p, &t);
                else
                    gradient_panel_row(p, &t);
            }
        }
    }
}

/* The sums of an output channel to its weights. */
FC_SMALL void gradient_panel_store(const struct fc_conv2d *p, const struct gradient_panel *panel, real *sums,
                                   real *out)
{
    for (ptrdiff_t i = 0; i < p->kh * p->kw; i++)
        out[i] = sum_by_halves(sums + (i / p->kw * panel->cols + i % p->kw) * PANEL_SUMS, PANEL_SUMS);
}

/* Small: what takes time are functions of their own. */
FC_SMALL void conv_weight_grad_planes(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const struct gradient_panel panel = gradient_panel(p);
    const int joins = panel.copies > 1;
    const struct steps of = output_steps(p);
    const ptrdiff_t taps = p->kh * p->kw, blocks_k = ceil_div(p->k, p->block_k);
    struct gradient_panel_tile t = {
        .panel = &panel, .apart = p->dilation_h * panel.pitch, .channel = of.channel};
    char *area = scratch;
    struct gradient_scratch s;
    GRADIENT_PLANE_AREAS(GRADIENT_TAKE)
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t rest = unit;
        const ptrdiff_t k0 = rest % blocks_k * p->block_k, k = FC_MIN(p->block_k, p->k - k0);
        const ptrdiff_t c = (rest /= blocks_k) % p->c, g = (rest /= p->c) % p->groups;
        const ptrdiff_t part = rest / p->groups, past = p->n * (part + 1) / p->parts;
        real *const out = (real *)p->out + ((part * p->groups + g) * p->k + k0) * p->c * taps;
        memset(s.sums, 0, (size_t)(k * panel.channel_sums) * sizeof(real));
        for (ptrdiff_t n = p->n * part / p->parts; n < past; n++) {
            const real *const dy =
                (const real *)p->dy + output_slice(p, &of, n) + g * of.group + k0 * of.channel;
            const real *const x = slice_channels(p, n, g, c, c + 1).x;
            const real *const next = n + 1 < past ? slice_channels(p, n + 1, g, c, c + 1).x : NULL;
            const ptrdiff_t ahead =
                n + 1 < past ? output_slice(p, &of, n + 1) - output_slice(p, &of, n) : 0;
            for (ptrdiff_t y = 0, rows; y < p->oh; y += rows) {
                rows = FC_MIN(p->block_rows, p->oh - y);
                t.rows = joins ? 1 : rows;
                t.width = joins ? rows * p->ow : p->ow;
                if (next)
                    gradient_fetch_plane(next + y * p->stride_h * p->w, rows * p->stride_h * p->w);
                gradient_panel_fill(p, x, y, rows, &panel, s.rows);
                gradient_panel_block(p, t, s.rows, dy + y * p->ow, k, ahead, s.sums);
            }
        }
        for (ptrdiff_t i = 0; i < k; i++)
            gradient_panel_store(p, &panel, s.sums + i * panel.channel_sums, out + (i * p->c + c) * taps);
    }
}
