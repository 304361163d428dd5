/* What the blocks of an integer convolution see: an area of pixels, channels side by side, with the
 * padding around it. It is of bytes (VNNI) or of 16 bits, or the image itself, where that is NHWC
 * and nothing has to be changed. In NCHW pixels are transposed as they are read.
 *
 * Terms under a kernel that are neighbours in the area are a run: those of a tap row, or of a tap
 * if dilation sets them apart. Runs are read as words of 4 or 2 terms; the last word of one may see
 * what follows, which weights of 0 meet. Of planes, each of which is for itself, the terms are taps of one
 * channel. */

struct dot_sizes {
    ptrdiff_t each, size;         /* terms to a word, bytes to a term */
    ptrdiff_t runs, terms, words; /* terms and words of a run */
    ptrdiff_t pixels;             /* of a block */
    ptrdiff_t step, stride;       /* rows of the image from one of the area on; of it, of outputs */
    ptrdiff_t rows, cols;         /* of the area */
    ptrdiff_t row, pixel;         /* bytes from one of the area to the next */
    int in_place;                 /* it is the image */
};

static struct dot_sizes dot_sizes(const struct fc_conv_integer *q, ptrdiff_t each)
{
    const struct fc_conv2d *const p = &q->conv;
    const ptrdiff_t high = (p->kh - 1) * p->dilation_h, wide = (p->kw - 1) * p->dilation_w;
    struct dot_sizes s = {.each = each, .size = each == 4 ? 1 : 2, .runs = p->kh,
                          .terms = q->planes ? 1 : p->c};
    if (p->dilation_w == 1)
        s.terms *= p->kw;
    else
        s.runs *= p->kw;
    s.words = ceil_div(s.terms, each);
    s.pixels = p->block_rows * p->block_cols;
    s.in_place = p->nhwc && each == 4 && !q->flip && !q->planes && s.terms % each == 0 &&
                 (p->groups == 1 || s.terms == p->c) && slices_are_samples(p) && p->top == 0 &&
                 p->left == 0 && (p->oh - 1) * p->stride_h + high < p->h &&
                 (p->ow - 1) * p->stride_w + wide < p->w && p->ow >= DOT_PIXELS;
    /* Rows that no tap sees are left out. */
    s.step = p->kh == 1 && !s.in_place ? p->stride_h : 1;
    s.stride = p->stride_h / s.step;
    s.rows = (p->block_rows - 1) * s.stride + high + 1;
    s.cols = (p->block_cols - 1) * p->stride_w + wide + 1;
    s.pixel = s.in_place ? input_steps(p).pixel : p->c * s.size;
    s.row = s.in_place ? input_steps(p).row : s.cols * s.pixel;
    return s;
}

/* Elements of the area. Words and vectors of pixels that a block does not have are behind it. */
FC_INLINE ptrdiff_t dot_area(const struct fc_conv2d *p, const struct dot_sizes *s)
{
    return s->in_place ? 0 : (s->rows * s->cols + DOT_PIXELS * p->stride_w) * p->c + 2 * LANES + 64;
}

struct dot_unit {
    ptrdiff_t n, g, y0, rows, x0, cols, pixels;
    const int32_t *weight, *more; /* of the group; more: what its channels have */
    char *out;                    /* the block's first pixel, channel 0 of the group */
    ptrdiff_t pixel, channel;     /* bytes from one to the next */
};

/* Columns become rows: log2(count) times vectors are unzipped, which turns the bits of (vector, lane)
 * by one place. */
FC_INLINE void dot_unzip(sum *a, const int count)
{
    sum b[SUM_LANES];
    FC_UNROLL for (int turns = 1; turns < count; turns *= 2) {
        FC_UNROLL for (int i = 0; i < count / 2; i++) {
            b[i] = sum_even(a[2 * i], a[2 * i + 1]);
            b[i + count / 2] = sum_odd(a[2 * i], a[2 * i + 1]);
        }
        FC_UNROLL for (int i = 0; i < count; i++)
            a[i] = b[i];
    }
}

/* SUM_LANES lines of as many words, `pitch` bytes apart. dst may be src. */
FC_NOINLINE void dot_turn(int32_t *dst, const void *src, ptrdiff_t pitch)
{
    sum a[SUM_LANES];
    FC_UNROLL for (int i = 0; i < SUM_LANES; i++)
        a[i] = sum_load((const int32_t *)(const void *)((const char *)src + i * pitch));
    dot_unzip(a, SUM_LANES);
    FC_UNROLL for (int i = 0; i < SUM_LANES; i++)
        sum_store(dst + i * SUM_LANES, a[i]);
}

/* NCHW: SUM_LANES pixels of some channels as lines of words. The last word may go past the last
 * channel: it sees that again. */
static void dot_join(const uint8_t *x, ptrdiff_t channel, ptrdiff_t channels, int32_t *to)
{
    for (; channels >= 4; channels -= 4, x += 4 * channel, to += SUM_LANES)
        sum_store(to, sum_join_8(x, x + channel, x + 2 * channel, x + 3 * channel));
    if (channels > 0) {
        const uint8_t *const last = x + (channels - 1) * channel;
        sum_store(to, sum_join_8(x, channels > 1 ? x + channel : last, last, last));
    }
}

/* NCHW: n pixels of a row, `before` others before them in their planes and `after` from them on, to
 * every `pixel` bytes, of which these are the first `count`. */
static void dot_fill_pixels(const uint8_t *x, ptrdiff_t channel, ptrdiff_t count, ptrdiff_t n,
                            ptrdiff_t before, ptrdiff_t after, uint8_t *to, ptrdiff_t pixel)
{
    const ptrdiff_t width = 4 * SUM_LANES, step = count > 4 ? SUM_LANES : 1;
    int32_t words[SUM_LANES * SUM_LANES] = {0};
    if (before + after < SUM_LANES) {
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t c = 0; c < count; c++)
                to[j * pixel + c] = x[c * channel + j];
        return;
    }
    /* What is stored beyond a pixel's last channel, later ones take the place of. */
    for (ptrdiff_t c = (count - 1) / width * width; c >= 0; c -= width)
        for (ptrdiff_t at = 0; at < n; at += SUM_LANES) {
            /* A vector that would leave the plane begins earlier. */
            const ptrdiff_t first = FC_MIN(at, after - SUM_LANES), begin = at - first;
            const ptrdiff_t end = FC_MIN(SUM_LANES, n - first), kept = FC_MIN(width, count - c);
            const int32_t *word = words + begin * step;
            uint8_t *pixels = to + at * pixel + c;
            dot_join(x + c * channel + first, channel, kept, words);
            if (count > 4)
                dot_turn(words, words, SUM_LANES * sizeof *words);
            for (ptrdiff_t j = begin; j < end; j++, pixels += pixel, word += step)
                if (count < pixel)
                    memcpy(pixels, word, (size_t)kept);
                else if (count > 4)
                    sum_store((int32_t *)(void *)pixels, sum_load(word));
                else
                    memcpy(pixels, word, sizeof *word);
        }
}

/* slice_channels(), once in the module. */
FC_NOINLINE struct slice_channels dot_slice(const struct fc_conv2d *p, ptrdiff_t n, ptrdiff_t g,
                                            ptrdiff_t c)
{
    return slice_channels(p, n, g, c, p->c);
}

/* Of one slice, from its channel c on: the pixels of one row, from x0 to x1 of the image. */
static void dot_fill_row(const struct fc_conv2d *p, const struct slice_channels *in, ptrdiff_t y,
                         ptrdiff_t x0, ptrdiff_t x1, uint8_t *to)
{
    const struct steps from = input_steps(p);
    const uint8_t *x = in->x + y * from.row + x0 * from.pixel;
    if (!p->nhwc && p->c > 1)
        dot_fill_pixels(x, from.channel, in->count, x1 - x0, y * p->w + x0,
                        (p->h - y) * p->w - x0, to, p->c);
    else if (in->count == from.pixel && in->count == p->c)
        memcpy(to, x, (size_t)((x1 - x0) * p->c));
    else
        for (; x0 < x1; x0++, x += from.pixel, to += p->c)
            memcpy(to, x, (size_t)in->count);
}

/* Row by row, since vectors of pixels write beyond the end of theirs. */
static void dot_fill(const struct fc_conv_integer *q, const struct dot_sizes *s,
                     const struct dot_unit *u, uint8_t *to)
{
    const struct fc_conv2d *const p = &q->conv;
    const int samples = slices_are_samples(p);
    const ptrdiff_t left = u->x0 * p->stride_w - p->left;
    const ptrdiff_t a = FC_MIN(FC_MAX(0, -left), s->cols), b = FC_MIN(p->w - left, s->cols);
    for (ptrdiff_t i = 0; i < s->rows; i++, to += s->cols * p->c) {
        const ptrdiff_t y = u->y0 * p->stride_h - p->top + i * s->step;
        struct slice_channels in;
        const int seen = y >= 0 && y < p->h && a < b;
        memset(to, q->x_zero, (size_t)((seen && samples ? a : s->cols) * p->c));
        if (seen)
            for (ptrdiff_t c = 0; c < p->c; c += in.count) {
                in = dot_slice(p, u->n, u->g, c);
                if (in.x)
                    dot_fill_row(p, &in, y, left + a, left + b, to + a * p->c + c);
            }
        memset(to + FC_MAX(a, b) * p->c, q->x_zero, (size_t)((s->cols - FC_MAX(a, b)) * p->c));
    }
}
