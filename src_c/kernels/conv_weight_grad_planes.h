/* The gradient of a depthwise convolution by its weights in NCHW, of columns that are not strided, with
 * pixels in the lanes (groups in them, for others: conv_weight_grad_groups.h).
 *
 * A unit is a channel. Of each sample, PANEL_SUMS sums of every tap take turns along the rows of
 * dy, then are added by halves; samples are added one after the other. The input that a block of rows
 * sees stands in a panel with the padding around it, and zeros past the last vector of a row.
 *
 * Bound by loads: for a vector of dy and 3x3 taps 10, most across a cache line, for 9 multiply-adds. */

#define PANEL_SUMS 16 /* a number of whole vectors on every ISA */
/* Rows and columns of taps whose sums are in registers at once: enough for the latency of an addition. */
#define PANEL_TAP_ROWS (VEC_REGS == 32 ? 3 : 1)
#define PANEL_TAP_COLUMNS 3

struct gradient_panel {
    ptrdiff_t rows, width, pitch;
};

FC_INLINE struct gradient_panel gradient_panel(const struct fc_conv2d *p, ptrdiff_t rows)
{
    /* Taps that there are not are read, too, and left. */
    const ptrdiff_t cols = round_up(p->kw, PANEL_TAP_COLUMNS);
    struct gradient_panel panel;
    panel.rows = (rows - 1) * p->stride_h + (p->kh - 1) * p->dilation_h + 1;
    panel.width = p->ow + (p->kw - 1) * p->dilation_w;
    panel.pitch = odd_lines(round_up(p->ow, PANEL_SUMS) + (cols - 1) * p->dilation_w);
    return panel;
}

#define GRADIENT_PLANE_AREAS(X)                                                                    \
    X(rows, panel.rows *panel.pitch)                                                               \
    X(sums, p->kh *round_up(p->kw, PANEL_TAP_COLUMNS) * PANEL_SUMS)

FC_SMALL size_t conv_weight_grad_planes_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct gradient_panel panel = gradient_panel(p, p->block_rows);
    return 0 GRADIENT_PLANE_AREAS(GRADIENT_TAKEN);
}

static ptrdiff_t conv_weight_grad_planes_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->groups;
}

/* What output rows from y0 on see of a plane, or of zeros around all planes. */
static void gradient_panel_fill(const struct fc_conv2d *p, const real *x, ptrdiff_t y0,
                                const struct gradient_panel *panel, real *dst)
{
    for (ptrdiff_t i = 0; i < panel->rows; i++, dst += panel->pitch) {
        const ptrdiff_t at =
            x ? border_index(y0 * p->stride_h - p->top + i, p->h, p->border_h) : -1;
        if (at < 0)
            memset(dst, 0, (size_t)panel->width * sizeof(real));
        else
            nchw_fill_row(dst, x + at * p->w, p->w, -p->left, panel->width, p->border_w);
        memset(dst + panel->width, 0, (size_t)(panel->pitch - panel->width) * sizeof(real));
    }
}

/* Add to the sums of PANEL_TAP_COLUMNS neighbours of `nr` rows of taps, which are `apart` elements apart,
 * as their sums are `pitch_sums`. */
FC_INLINE void gradient_panel_taps_of(const struct fc_conv2d *p, const real *x, ptrdiff_t pitch,
                                      ptrdiff_t apart, const real *dy, ptrdiff_t rows, real *sums,
                                      ptrdiff_t pitch_sums, const int nr)
{
    enum { VECTORS = PANEL_SUMS / LANES };
    const ptrdiff_t ow = p->ow, step = p->dilation_w, whole = ow - ow % PANEL_SUMS;
    vec acc[PANEL_TAP_ROWS][PANEL_TAP_COLUMNS][VECTORS];
    FC_UNROLL for (int r = 0; r < nr; r++)
        FC_UNROLL for (int t = 0; t < PANEL_TAP_COLUMNS; t++)
            FC_UNROLL for (int v = 0; v < VECTORS; v++)
                acc[r][t][v] = v_load(sums + r * pitch_sums + t * PANEL_SUMS + v * LANES);
    for (ptrdiff_t y = 0; y < rows; y++, dy += ow, x += p->stride_h * pitch) {
        for (ptrdiff_t i = 0; i < whole; i += PANEL_SUMS)
            FC_UNROLL for (int v = 0; v < VECTORS; v++) {
                const ptrdiff_t at = i + v * LANES;
                vec each = v_load(dy + at);
                FC_KEEP(each);
                FC_UNROLL for (int r = 0; r < nr; r++)
                    FC_UNROLL for (int t = 0; t < PANEL_TAP_COLUMNS; t++)
                        acc[r][t][v] =
                            v_fma(v_load(x + r * apart + at + t * step), each, acc[r][t][v]);
            }
        /* Zeros by zeros past the end of dy: pixels there may be infinite. */
        if (whole < ow)
            FC_UNROLL for (int v = 0; v < VECTORS; v++) {
                const ptrdiff_t at = whole + v * LANES;
                const vec each = load_up_to(dy, at, ow);
                FC_UNROLL for (int r = 0; r < nr; r++)
                    FC_UNROLL for (int t = 0; t < PANEL_TAP_COLUMNS; t++)
                        acc[r][t][v] = v_fma(load_up_to(x + r * apart + t * step, at, ow), each,
                                             acc[r][t][v]);
            }
    }
    FC_UNROLL for (int r = 0; r < nr; r++)
        FC_UNROLL for (int t = 0; t < PANEL_TAP_COLUMNS; t++)
            FC_UNROLL for (int v = 0; v < VECTORS; v++)
                v_store(sums + r * pitch_sums + t * PANEL_SUMS + v * LANES, acc[r][t][v]);
}

/* The rows of outputs of a block, whose input stands in a panel. */
static void gradient_panel_block(const struct fc_conv2d *p, const real *x, ptrdiff_t pitch,
                                 const real *dy, ptrdiff_t rows, real *sums)
{
    const ptrdiff_t cols = round_up(p->kw, PANEL_TAP_COLUMNS), apart = p->dilation_h * pitch;
    for (ptrdiff_t i = 0, nr; i < p->kh; i += nr) {
        nr = p->kh - i >= PANEL_TAP_ROWS ? PANEL_TAP_ROWS : 1;
        for (ptrdiff_t j = 0; j < cols; j += PANEL_TAP_COLUMNS) {
            const real *const from = x + i * apart + j * p->dilation_w;
            real *const to = sums + (i * cols + j) * PANEL_SUMS;
            if (nr == PANEL_TAP_ROWS)
                gradient_panel_taps_of(p, from, pitch, apart, dy, rows, to, cols * PANEL_SUMS,
                                       PANEL_TAP_ROWS);
            else
                gradient_panel_taps_of(p, from, pitch, apart, dy, rows, to, cols * PANEL_SUMS, 1);
        }
    }
}

/* The next sample's plane lies far away, where the processor sees no stream. */
FC_INLINE void gradient_fetch_plane(const real *plane, ptrdiff_t pixels)
{
    for (ptrdiff_t i = 0; i < pixels; i += 64 / (ptrdiff_t)sizeof(real))
        FC_PREFETCH_L2(plane + i);
}

/* Add a sample's sums, which are used up, to the result. */
static void gradient_panel_add(const struct fc_conv2d *p, real *sums, real *out)
{
    const ptrdiff_t cols = round_up(p->kw, PANEL_TAP_COLUMNS);
    for (ptrdiff_t i = 0; i < p->kh * p->kw; i++)
        out[i] += sum_by_halves(sums + (i / p->kw * cols + i % p->kw) * PANEL_SUMS, PANEL_SUMS);
}

static void conv_weight_grad_planes(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const struct gradient_panel panel = gradient_panel(p, p->block_rows);
    const struct steps of = output_steps(p);
    const ptrdiff_t taps = p->kh * p->kw, cols = round_up(p->kw, PANEL_TAP_COLUMNS);
    char *area = scratch;
    struct gradient_scratch s;
    GRADIENT_PLANE_AREAS(GRADIENT_TAKE)
    for (ptrdiff_t g = begin; g < end; g++) {
        real *const out = (real *)p->out + g * taps;
        memset(out, 0, (size_t)taps * sizeof(real));
        for (ptrdiff_t n = 0; n < p->n; n++) {
            const real *const dy = (const real *)p->dy + output_slice(p, &of, n) + g * of.group;
            const real *const x = slice_channels(p, n, g, 0, 1).x;
            if (n + 1 < p->n) {
                const real *const next = slice_channels(p, n + 1, g, 0, 1).x;
                gradient_fetch_plane(dy + output_slice(p, &of, n + 1) - output_slice(p, &of, n),
                                     p->oh * p->ow);
                if (next)
                    gradient_fetch_plane(next, p->h * p->w);
            }
            memset(s.sums, 0, (size_t)(p->kh * cols * PANEL_SUMS) * sizeof(real));
            for (ptrdiff_t y = 0, rows; y < p->oh; y += rows) {
                rows = FC_MIN(p->block_rows, p->oh - y);
                const struct gradient_panel seen = gradient_panel(p, rows);
                gradient_panel_fill(p, x, y, &seen, s.rows);
                gradient_panel_block(p, s.rows, panel.pitch, dy + y * p->ow, rows, s.sums);
            }
            gradient_panel_add(p, s.sums, out);
        }
    }
}
