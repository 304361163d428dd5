/* The gradient of a convolution by its weights, with output channels in the lanes, for both layouts.
 *
 * dw[k, c, r, s] = sum over n, p, q of
 *     dy[n, k, p, q] * padded[n, c, p * stride + r * dilation, q * stride + s * dilation]
 *
 * is a direct convolution (conv_direct_channel.h) whose taps are pixels: its register tile sums the
 * pixels of a block for 14 neighbouring numbers of a line times two vectors of output channels. Lines
 * have the channels of a pixel side by side, those of the pixel to its right next, so that
 * neighbours are channels and columns of taps; where these are few, the rows of taps that an output
 * sees stand side by side in its line, too.
 *
 * A unit is a block of channels, in and out, and a part of the samples. The sum of a block of pixels
 * begins with 0 and is added to those of the blocks before it, which makes its error small; `parts`
 * results stand in `out` one after the other, to be added in this order. Blocks of pixels and parts
 * follow from the geometry alone. */

struct gradient_lines {
    ptrdiff_t joined, others; /* rows of taps in a line, and those in lines of their own */
    ptrdiff_t apart;          /* columns of input from one pixel of a line to the next */
    ptrdiff_t width, pitch;   /* pixels of a line; elements of one channel of it, before they mix */
    ptrdiff_t count;          /* lines under a block */
    ptrdiff_t step, rows;     /* lines, and rows of input, from one row of outputs to the next */
};

/* Of a block of outputs; `joined` rows of taps, all or one. */
static struct gradient_lines gradient_lines(const struct fc_conv2d *p, ptrdiff_t rows, ptrdiff_t cols,
                                            ptrdiff_t joined)
{
    struct gradient_lines l = {.joined = joined, .others = p->kh / joined};
    l.apart = p->kw == 1 ? p->stride_w : 1;
    l.width = p->kw == 1 ? cols : (cols - 1) * p->stride_w + (p->kw - 1) * p->dilation_w + 1;
    l.pitch = odd_lines(l.width);
    l.rows = l.others == 1 ? p->stride_h : 1;
    l.step = p->stride_h / l.rows;
    l.count = (rows - 1) * l.step + (l.others - 1) * p->dilation_h + 1;
    return l;
}

/* Rows of taps are joined where neighbours would not fill a tile. */
FC_INLINE ptrdiff_t gradient_joined(const struct fc_conv2d *p)
{
    const int few = FC_MIN(p->block_c, p->c) * p->kw < CHANNEL_PIXELS;
    return few || p->kh < p->stride_h ? p->kh : 1;
}

FC_INLINE ptrdiff_t gradient_tiles(ptrdiff_t k) { return ceil_div(k, CHANNEL_VECTORS * LANES); }

/* Its scratch memory. */
struct gradient_scratch {
    ptrdiff_t *tap;
    real *zeros, *tile, *rows, *lines, *dy, *sums;
};

#define GRADIENT_AREAS(X)                                                                          \
    X(tap, p->block_cols)                                                                          \
    X(zeros, CHANNEL_VECTORS *LANES)                                                               \
    X(tile, CHANNEL_TILE)                                                                          \
    X(rows, p->nhwc ? 0 : l.joined * c * l.pitch)                                                  \
    X(lines, l.count * l.width * l.joined * c)                                                     \
    X(dy, gradient_tiles(k) * p->block_rows * p->block_cols * CHANNEL_VECTORS * LANES)             \
    X(sums, gradient_tiles(k) * c * p->kh * p->kw * CHANNEL_VECTORS * LANES)

FC_SMALL size_t conv_weight_grad_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct gradient_lines l =
        gradient_lines(p, p->block_rows, p->block_cols, gradient_joined(p));
    const ptrdiff_t c = FC_MIN(p->block_c, p->c), k = FC_MIN(p->block_k, p->k);
#define GRADIENT_TAKEN(name, count) +taken(count, sizeof *((struct gradient_scratch *)0)->name)
    return 0 GRADIENT_AREAS(GRADIENT_TAKEN);
}

static ptrdiff_t conv_weight_grad_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->parts * p->groups * ceil_div(p->k, p->block_k) * ceil_div(p->c, p->block_c);
}

/* A unit, and the block of pixels that it is at. */
struct gradient_unit {
    ptrdiff_t part, g, k0, k, c0, c; /* k channels (or groups) in the lanes */
    ptrdiff_t n, y0, rows, x0, cols;
    ptrdiff_t fetched; /* NHWC: numbers of a pixel that the next vectors of groups will read */
};

/* They are fetched while the first vector is read, which would wait for each pixel on its own. */
FC_INLINE void gradient_fetch(const struct gradient_unit *u, const real *x, ptrdiff_t pixel)
{
    enum { AHEAD = 8 };
    for (ptrdiff_t i = 0; i < u->fetched; i += 64 / (ptrdiff_t)sizeof(real))
        FC_PREFETCH(x + AHEAD * pixel + i);
}

/* The first block of pixels of a part. */
FC_INLINE ptrdiff_t gradient_first(const struct fc_conv2d *p, ptrdiff_t part)
{
    return p->n * ceil_div(p->oh, p->block_rows) * ceil_div(p->ow, p->block_cols) * part / p->parts;
}

static void gradient_find(const struct fc_conv2d *p, struct gradient_unit *u, ptrdiff_t block)
{
    const ptrdiff_t across = ceil_div(p->ow, p->block_cols), down = ceil_div(p->oh, p->block_rows);
    u->x0 = block % across * p->block_cols;
    u->y0 = block / across % down * p->block_rows;
    u->n = block / across / down;
    u->rows = FC_MIN(p->block_rows, p->oh - u->y0);
    u->cols = FC_MIN(p->block_cols, p->ow - u->x0);
}

/* A row of the input, or the constant around it (x is NULL around all rows), of so many channels
 * `step` elements apart: pixels `pitch` apart in NHWC, channels `pitch` apart in NCHW. */
static void gradient_row(const struct fc_conv2d *p, const struct gradient_unit *u,
                         const struct gradient_lines *l, const real *x, ptrdiff_t y, ptrdiff_t step,
                         ptrdiff_t channels, ptrdiff_t pitch, real *dst)
{
    const struct steps from = input_steps(p);
    const ptrdiff_t at = x ? border_index(y, p->h, p->border_h) : -1;
    const ptrdiff_t first = u->x0 * p->stride_w - p->left;
    const ptrdiff_t width = at < 0 ? 0 : p->w; /* of the row that there is */
    const int border = at < 0 ? FC_CONSTANT : p->border_w;
    x = at < 0 ? p->x : x + at * from.row; /* of which nothing is read */
    if (!p->nhwc)
        for (ptrdiff_t c = 0; c < channels; c++, dst += pitch, x += step)
            if (l->apart == 1)
                nchw_fill_row(dst, x, width, first, l->width, border);
            else
                nchw_fill_phase(dst, x, width, first, l->width, l->apart, border);
    else
        for (ptrdiff_t j = 0; j < l->width; j++, dst += pitch) {
            const ptrdiff_t i = border_index(first + j * l->apart, width, border);
            const real *const src = x + FC_MAX(i, 0) * from.pixel;
            ptrdiff_t c = 0;
            gradient_fetch(u, src, from.pixel);
            for (; step == 1 && c + LANES <= channels; c += LANES)
                v_store(dst + c, i < 0 ? v_set1(0) : v_load(src + c));
            for (; c < channels; c++)
                dst[c] = i < 0 ? 0 : src[c * step];
        }
}

/* NCHW: do lines need nothing of a row but its elements, one after the other, and zeros? */
FC_INLINE int gradient_is_plain(const struct fc_conv2d *p, const struct gradient_lines *l)
{
    return !p->nhwc && l->joined == 1 && l->apart == 1 && p->border_w == FC_CONSTANT;
}

/* Such a row, straight from the image: `width` numbers of each pixel, which are `pixel` apart. */
static void gradient_turn(const struct fc_conv2d *p, const struct gradient_unit *u,
                          const struct gradient_lines *l, const real *x, ptrdiff_t y, ptrdiff_t step,
                          ptrdiff_t channels, ptrdiff_t width, ptrdiff_t pixel, real *dst)
{
    const ptrdiff_t at = x ? border_index(y, p->h, p->border_h) : -1;
    const ptrdiff_t first = u->x0 * p->stride_w - p->left;
    ptrdiff_t a, b;
    border_inside(first, l->width, at < 0 ? 0 : p->w, &a, &b);
    for (ptrdiff_t j = a > 0 ? 0 : b; j < l->width; j = j + 1 == a ? b : j + 1)
        memset(dst + j * pixel, 0, (size_t)width * sizeof(real));
    if (b > a)
        transpose_lines(dst + a * pixel, pixel, width, x + at * input_steps(p).row + first + a, step,
                        channels, b - a);
}

/* The lines under a block, of `count` channels from c on, or of channel c of so many groups: each
 * pixel has `width` numbers of every row of taps in it, zeros after those that there are. */
static void gradient_fill(const struct fc_conv2d *p, const struct gradient_unit *u,
                          const struct gradient_lines *l, ptrdiff_t c, ptrdiff_t count,
                          const int groups, ptrdiff_t width, real *rows, real *lines)
{
    const struct steps from = input_steps(p);
    const ptrdiff_t pixel = l->joined * width, step = groups ? from.group : from.channel;
    struct slice_channels in;
    for (ptrdiff_t i = 0; i < l->count; i++, lines += l->width * pixel) {
        const ptrdiff_t y = u->y0 * p->stride_h - p->top + i * l->rows;
        for (ptrdiff_t done = 0; done < count; done += in.count) {
            in = slice_channels(p, u->n, u->g, c + done, c + count);
            if (groups)
                in.count = count;
            if (gradient_is_plain(p, l)) {
                gradient_turn(p, u, l, in.x, y, step, in.count, groups ? width : in.count, pixel,
                              lines + done);
                continue;
            }
            for (ptrdiff_t r = 0; r < l->joined; r++)
                gradient_row(p, u, l, in.x, y + r * p->dilation_h, step, in.count,
                             p->nhwc ? pixel : l->pitch,
                             p->nhwc ? lines + r * width + done
                                     : rows + (r * count + done) * l->pitch);
        }
        if (!p->nhwc && !gradient_is_plain(p, l))
            transpose_into(lines, pixel, rows, l->pitch, l->joined * count, l->width);
    }
}

/* The block's dy, of channels from `first` on that are `step` elements apart: `lanes` for each pixel,
 * zeros after the channels that there are. */
static void gradient_dy(const struct fc_conv2d *p, const struct gradient_unit *u, ptrdiff_t first,
                        ptrdiff_t step, ptrdiff_t channels, ptrdiff_t lanes, real *dst)
{
    const struct steps from = output_steps(p);
    const int whole = u->cols == p->ow; /* rows follow each other */
    const ptrdiff_t runs = whole ? 1 : u->rows, count = whole ? u->rows * u->cols : u->cols;
    const real *dy = (const real *)p->dy + output_slice(p, &from, u->n) + u->g * from.group + first +
                     u->y0 * from.row + u->x0 * from.pixel;
    for (ptrdiff_t i = 0; i < runs; i++, dy += from.row)
        if (!p->nhwc) {
            transpose_into(dst, lanes, dy, step, FC_MIN(channels, lanes), count);
            dst += count * lanes;
        } else {
            for (ptrdiff_t j = 0; j < count; j++, dst += lanes) {
                gradient_fetch(u, dy + j * from.pixel, from.pixel);
                if (step == 1)
                    copy_up_to(dst, lanes, dy + j * from.pixel, 0, channels);
                else
                    for (ptrdiff_t k = 0; k < lanes; k++)
                        dst[k] = k < channels ? dy[j * from.pixel + k * step] : 0;
            }
        }
}

/* Add a block's sums for `count` neighbours in its lines, which are number `first` and the next ones of
 * the `all` that each tile of output channels has. */
static void gradient_sums(const struct gradient_unit *u, struct channel_tile *t, const real *x,
                          const real *dy, ptrdiff_t first, ptrdiff_t count, real *sums, ptrdiff_t all)
{
    const ptrdiff_t width = CHANNEL_VECTORS * LANES;
    for (ptrdiff_t i = 0, n; i < count; i += n) {
        n = FC_MIN(channel_run(count), count - i);
        n -= CHANNEL_LEFT_OUT(n);
        t->x = x + i;
        for (ptrdiff_t k = 0; k < u->k; k += width) {
            const int nv = channel_vectors(u->k - k);
            real *const total = sums + k * all + (first + i) * nv * LANES;
            t->weight = t->ahead = dy + k * u->rows * u->cols;
            t->sums_pitch = nv * LANES;
            channel_tiles[n - 1][1][nv - 1](t);
            for (ptrdiff_t j = 0; j < n * nv * LANES; j += LANES)
                v_store(total + j, v_add(v_load(total + j), v_load(t->sums + j)));
        }
    }
}

/* All taps of a block of pixels. */
static void gradient_block(const struct fc_conv2d *p, const struct gradient_unit *u,
                           const struct gradient_scratch *s)
{
    const struct gradient_lines l = gradient_lines(p, u->rows, u->cols, gradient_joined(p));
    const ptrdiff_t pixel = l.joined * u->c, line = l.width * pixel;
    const ptrdiff_t all = u->c * p->kh * p->kw;
    const struct steps of = output_steps(p);
    /* Columns of taps that are apart take turns. */
    const ptrdiff_t turns = p->dilation_w > 1 ? p->kw : 1, count = p->kw / turns * pixel;
    struct channel_tile t = {.bias = s->zeros, .sums = s->tile, .tap = s->tap, .taps = u->cols,
                             .c = u->rows, .channel = l.step * line, .pixel = 1};

    gradient_fill(p, u, &l, u->c0, u->c, 0, u->c, s->rows, s->lines);
    for (ptrdiff_t k = 0; k < u->k; k += CHANNEL_VECTORS * LANES)
        gradient_dy(p, u, (u->k0 + k) * of.channel, of.channel, u->k - k,
                    channel_vectors(u->k - k) * LANES, s->dy + k * u->rows * u->cols);
    for (ptrdiff_t q = 0; q < u->cols; q++)
        s->tap[q] = q * (p->stride_w / l.apart) * pixel;
    for (ptrdiff_t r = 0; r < l.others; r++)
        for (ptrdiff_t i = 0; i < turns; i++) {
            const real *const x = s->lines + r * p->dilation_h * line + i * p->dilation_w * pixel;
            gradient_sums(u, &t, x, s->dy, (r * turns + i) * count, count, s->sums, all);
        }
}

/* The sums to their places in the weights' order. */
static void gradient_store(const struct fc_conv2d *p, const struct gradient_unit *u, const real *sums)
{
    const struct gradient_lines l =
        gradient_lines(p, p->block_rows, p->block_cols, gradient_joined(p));
    const ptrdiff_t taps = p->kh * p->kw, width = CHANNEL_VECTORS * LANES;
    real *const out = (real *)p->out +
                      (((u->part * p->groups + u->g) * p->k + u->k0) * p->c + u->c0) * taps;
    if (taps == 1) {
        for (ptrdiff_t k = 0; k < u->k; k += width)
            transpose_lines(out + k * p->c, p->c, u->c, sums + k * u->c, channel_vectors(u->k - k) * LANES,
                            u->c, FC_MIN(u->k - k, width));
        return;
    }
    for (ptrdiff_t k = 0; k < u->k; k++) {
        const ptrdiff_t lanes = channel_vectors(u->k - k / width * width) * LANES;
        const real *from = sums + k / width * width * u->c * taps + k % width;
        for (ptrdiff_t other = 0; other < l.others; other++)
            for (ptrdiff_t s = 0; s < p->kw; s++)
                for (ptrdiff_t r = other; r < other + l.joined; r++)
                    for (ptrdiff_t c = 0; c < u->c; c++, from += lanes)
                        out[(k * p->c + c) * taps + r * p->kw + s] = *from;
    }
}

static void conv_weight_grad(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const struct gradient_lines l =
        gradient_lines(p, p->block_rows, p->block_cols, gradient_joined(p));
    const ptrdiff_t c = FC_MIN(p->block_c, p->c), k = FC_MIN(p->block_k, p->k);
    const ptrdiff_t blocks_c = ceil_div(p->c, p->block_c), blocks_k = ceil_div(p->k, p->block_k);
    char *area = scratch;
    struct gradient_scratch s;
#define GRADIENT_TAKE(name, count) s.name = take(&area, count, sizeof *s.name);
    GRADIENT_AREAS(GRADIENT_TAKE)
    memset(s.zeros, 0, CHANNEL_VECTORS * LANES * sizeof(real));
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t rest = unit;
        struct gradient_unit u = {.fetched = 0};
        u.c0 = rest % blocks_c * p->block_c;
        u.k0 = (rest /= blocks_c) % blocks_k * p->block_k;
        u.g = (rest /= blocks_k) % p->groups;
        u.part = rest / p->groups;
        u.c = FC_MIN(p->block_c, p->c - u.c0);
        u.k = FC_MIN(p->block_k, p->k - u.k0);
        memset(s.sums, 0, (size_t)(gradient_tiles(k) * c * p->kh * p->kw * CHANNEL_VECTORS * LANES) *
                              sizeof(real));
        for (ptrdiff_t i = gradient_first(p, u.part); i < gradient_first(p, u.part + 1); i++) {
            gradient_find(p, &u, i);
            gradient_block(p, &u, &s);
        }
        gradient_store(p, &u, s.sums);
    }
}
