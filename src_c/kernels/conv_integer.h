/* Convolution of bytes into sums of 32 bits, as a matrix product.
 *
 * A unit is a block of neighbouring output pixels of one slice and group: some whole rows, or a
 * part of one. What they see is laid out as a panel of words, 4 unsigned bytes (VNNI) or 2 numbers
 * of 16 bits, terms in the order tap row, tap column, channel. In NHWC a panel has a row of words
 * for each pixel, and output channels fill the lanes; in NCHW it has a row of pixels for each word,
 * and pixels do. A tile is DOT_ROWS words, broadcast one by one, by DOT_VECTORS vectors; both
 * layouts take the same one with the roles of weights and pixels exchanged.
 *
 * Signs: dot products of bytes are of one without and one with a sign, so 128 is added to int8
 * pixels and subtracted from uint8 weights, and from their zero points (fastconv/conv_integer.py).
 * With X, Z the pixels and their zero point, W, V the weights and theirs, a sum of (X - Z) (W - V)
 * is sum X W - V sum X - Z sum (W - V); the last term is part of what is added to every sum. All of
 * it is modulo 2**32, and no result leaves 32 bits.
 *
 * Bound by arithmetic: for 8 x 2 products 8 broadcasts and 2 loads. Padding costs what other
 * elements do. */

#define DOT_VECTORS 2
#define DOT_ROWS (VEC_REGS == 32 ? 8 : 4)
#define DOT_WIDTH (DOT_VECTORS * SUM_LANES)
#define DOT_JOINED 16 /* words of a panel's row that are written at a time */

struct dot_tile {
    const int32_t *words, *vectors;  /* the first of either */
    ptrdiff_t count, row, next;      /* words; from row to row, and from vector to vector */
    int32_t *sums;
};

#define DOT_TILE(name, target, nv, dot)                                           \
    target static void name(const struct dot_tile *t)                             \
    {                                                                                 \
        sum acc[DOT_ROWS][nv];                                                    \
        const int32_t *words = t->words, *vectors = t->vectors;                       \
        const ptrdiff_t row = t->row, next = t->next;                                 \
        FC_UNROLL for (int i = 0; i < DOT_ROWS; i++)                              \
            FC_UNROLL for (int v = 0; v < nv; v++)                                    \
                acc[i][v] = sum_set1(0);                                              \
        for (ptrdiff_t w = t->count; w > 0; w--, words++, vectors += next) {          \
            const int32_t *at = words;                                                \
            sum vector[nv];                                                           \
            FC_UNROLL for (int v = 0; v < nv; v++) {                                  \
                vector[v] = sum_load(vectors + v * SUM_LANES);                        \
                FC_KEEP(vector[v]);                                                   \
            }                                                                         \
            FC_UNROLL for (int i = 0; i < DOT_ROWS; i++) {                        \
                const sum word = sum_set1(at[i % 3 * row]);                           \
                if (i % 3 == 2)                                                       \
                    at += 3 * row;                                                    \
                FC_UNROLL for (int v = 0; v < nv; v++)                                \
                    acc[i][v] = dot(acc[i][v], word, vector[v]);                      \
            }                                                                         \
        }                                                                             \
        FC_UNROLL for (int i = 0; i < DOT_ROWS; i++)                              \
            FC_UNROLL for (int v = 0; v < nv; v++)                                    \
                sum_store(t->sums + (i * nv + v) * SUM_LANES, acc[i][v]);             \
    }

typedef void dot_run_tile(const struct dot_tile *t);

DOT_TILE(dot_pairs_1, , 1, sum_dot)
DOT_TILE(dot_pairs_2, , 2, sum_dot)
static dot_run_tile *const dot_pairs[] = {dot_pairs_1, dot_pairs_2};

#ifdef SUM_DOT4
/* Words are of pixels, or (NCHW) of weights, which have the sign. */
#define DOT_PIXELS(acc, word, vector) sum_dot4(acc, word, vector)
#define DOT_WEIGHTS(acc, word, vector) sum_dot4(acc, vector, word)
DOT_TILE(dot_pixels_1, FC_VNNI, 1, DOT_PIXELS)
DOT_TILE(dot_pixels_2, FC_VNNI, 2, DOT_PIXELS)
DOT_TILE(dot_weights_1, FC_VNNI, 1, DOT_WEIGHTS)
DOT_TILE(dot_weights_2, FC_VNNI, 2, DOT_WEIGHTS)
static dot_run_tile *const dot_pixels[] = {dot_pixels_1, dot_pixels_2};
static dot_run_tile *const dot_weights[] = {dot_weights_1, dot_weights_2};
#endif

struct dot_sizes {
    ptrdiff_t each, terms, words; /* terms to a word, of an output */
    ptrdiff_t pixels, pitch;      /* of a block; words of a panel's row */
    /* NCHW, bytes: a block's input as lines of each channel, cut into the phases of a stride. */
    ptrdiff_t height, phases, seen, phase, line;
};

static struct dot_sizes dot_sizes(const struct fc_conv2d *p, ptrdiff_t each)
{
    struct dot_sizes s = {.each = each, .terms = p->c * p->kh * p->kw};
    s.words = ceil_div(s.terms, each);
    s.pixels = p->block_rows * p->block_cols;
    s.pitch = odd_lines(4 * (p->nhwc ? s.words : s.pixels + DOT_JOINED + DOT_WIDTH)) / 4;
    s.height = (p->block_rows - 1) * p->stride_h + (p->kh - 1) * p->dilation_h + 1;
    s.phases = FC_MIN(p->stride_w, (p->kw - 1) * p->dilation_w + 1);
    s.seen = p->block_cols + (p->kw - 1) * p->dilation_w / p->stride_w;
    s.phase = s.seen + DOT_JOINED;
    s.line = s.phase * s.phases;
    return s;
}

/* Elements of each part of the scratch memory. In NHWC words of bytes are filled in place. */
FC_INLINE ptrdiff_t dot_panel(const struct fc_conv2d *p, const struct dot_sizes *s)
{
    return (p->nhwc ? round_up(s->pixels, DOT_ROWS) : s->words) * s->pitch;
}
FC_INLINE ptrdiff_t dot_bytes(const struct fc_conv2d *p, const struct dot_sizes *s)
{
    return !p->nhwc ? p->c * s->height * s->line : s->each == 2 ? 2 * dot_panel(p, s) : 0;
}
FC_INLINE ptrdiff_t dot_terms(const struct fc_conv2d *p, const struct dot_sizes *s)
{
    return p->nhwc ? 0 : s->words * s->each;
}

FC_INLINE size_t dot_scratch_bytes(const struct fc_conv_integer *q, ptrdiff_t each)
{
    const struct dot_sizes s = dot_sizes(&q->conv, each);
    return taken(dot_panel(&q->conv, &s), sizeof(int32_t)) + taken(dot_bytes(&q->conv, &s), 1) +
           taken(s.pixels + DOT_WIDTH, sizeof(int32_t)) +
           taken(dot_terms(&q->conv, &s), sizeof(ptrdiff_t)) +
           taken(DOT_ROWS * DOT_WIDTH, sizeof(int32_t));
}

struct dot_scratch {
    int32_t *panel, *window; /* window: of each pixel, the sum of what it sees */
    uint8_t *bytes;          /* NHWC: the panel's terms; NCHW: the lines */
    ptrdiff_t *term;         /* NCHW: where a term's pixels begin in the lines */
    int32_t *sums;
};

static struct dot_scratch dot_scratch(const struct fc_conv2d *p, const struct dot_sizes *s,
                                      void *area)
{
    char *at = area;
    struct dot_scratch to;
    to.panel = take(&at, dot_panel(p, s), sizeof(int32_t));
    to.bytes = take(&at, dot_bytes(p, s), 1);
    if (p->nhwc && s->each == 4)
        to.bytes = (uint8_t *)to.panel;
    to.window = take(&at, s->pixels + DOT_WIDTH, sizeof(int32_t));
    to.term = take(&at, dot_terms(p, s), sizeof(ptrdiff_t));
    to.sums = take(&at, DOT_ROWS * DOT_WIDTH, sizeof(int32_t));
    return to;
}

struct dot_unit {
    ptrdiff_t n, g, y0, rows, x0, cols, pixels;
    const int32_t *weight, *more; /* of the group; more: what its channels have */
    char *out;                    /* the block's first pixel, channel 0 of the group */
    ptrdiff_t pixel, channel;     /* bytes from one to the next */
};

static ptrdiff_t conv_integer_units(const void *params)
{
    const struct fc_conv2d *p = &((const struct fc_conv_integer *)params)->conv;
    assert(p->block_cols == p->ow || p->block_rows == 1);
    return p->n * p->groups * ceil_div(p->oh, p->block_rows) * ceil_div(p->ow, p->block_cols);
}

static struct dot_unit dot_unit(const struct fc_conv_integer *q, const struct dot_sizes *s,
                                ptrdiff_t unit)
{
    const struct fc_conv2d *const p = &q->conv;
    const struct steps to = output_steps(p);
    const ptrdiff_t size = q->result == FC_SUM_TO_BYTE ? 1 : 4;
    const ptrdiff_t channels = round_up(p->k, FC_INTEGER_CHANNELS);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    struct dot_unit u;
    u.x0 = unit % blocks_x * p->block_cols;
    u.y0 = (unit /= blocks_x) % blocks_y * p->block_rows;
    u.g = (unit /= blocks_y) % p->groups;
    u.n = unit / p->groups;
    u.rows = FC_MIN(p->block_rows, p->oh - u.y0);
    u.cols = FC_MIN(p->block_cols, p->ow - u.x0);
    u.pixels = u.rows * u.cols;
    u.weight = (const int32_t *)p->weight + u.g * channels * s->words;
    u.more = (const int32_t *)p->bias + u.g * channels;
    u.pixel = to.pixel * size;
    u.channel = to.channel * size;
    u.out = (char *)p->out + size * (output_slice(p, &to, u.n) + u.g * to.group) +
            (u.y0 * p->ow + u.x0) * u.pixel;
    return u;
}

static void dot_flip(uint8_t *bytes, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i += LANES)
        v_store(bytes + i, v_flip(v_load(bytes + i)));
}

/* NHWC: the terms of a slice under tap row r of a pixel; row is NULL outside. */
FC_INLINE void dot_copy_taps(const struct fc_conv_integer *q, const uint8_t *row, ptrdiff_t left,
                                 ptrdiff_t pixel, ptrdiff_t count, uint8_t *to)
{
    const struct fc_conv2d *const p = &q->conv;
    const ptrdiff_t beyond = left + (p->kw - 1) * p->dilation_w;
    const int contiguous = count == pixel && count == p->c && p->dilation_w == 1;
    if (row && left >= 0 && beyond < p->w && contiguous) {
        memcpy(to, row + left * pixel, (size_t)(p->kw * pixel));
        return;
    }
    for (ptrdiff_t s = 0; s < p->kw; s++, left += p->dilation_w, to += p->c) {
        if (row && left >= 0 && left < p->w)
            memcpy(to, row + left * pixel, (size_t)count);
        else
            memset(to, q->x_zero, (size_t)count);
    }
}

static void dot_fill_nhwc(const struct fc_conv_integer *q, const struct dot_sizes *s,
                              const struct dot_scratch *area, const struct dot_unit *u)
{
    const struct fc_conv2d *const p = &q->conv;
    const struct steps from = input_steps(p);
    const ptrdiff_t row = s->pitch * s->each, total = u->pixels * row;
    struct slice_channels in;
    for (ptrdiff_t c = 0; c < p->c; c += in.count) {
        in = slice_channels(p, u->n, u->g, c, p->c);
        for (ptrdiff_t i = 0; i < u->rows; i++)
            for (ptrdiff_t r = 0; r < p->kh; r++) {
                const ptrdiff_t y = (u->y0 + i) * p->stride_h - p->top + r * p->dilation_h;
                const uint8_t *const x = in.x && y >= 0 && y < p->h ? in.x + y * from.row : NULL;
                uint8_t *to = area->bytes + i * u->cols * row + r * p->kw * p->c + c;
                ptrdiff_t left = u->x0 * p->stride_w - p->left;
                for (ptrdiff_t j = 0; j < u->cols; j++, to += row, left += p->stride_w)
                    dot_copy_taps(q, x, left, from.pixel, in.count, to);
            }
    }
    if (q->flip)
        dot_flip(area->bytes, total);
    if (q->weights_zero)
        for (ptrdiff_t i = 0; i < u->pixels; i++) {
            area->window[i] = 0;
            for (ptrdiff_t t = 0; t < s->terms; t++)
                area->window[i] += area->bytes[i * row + t];
        }
    if (s->each == 2)
        for (ptrdiff_t i = 0; i < total; i += WIDE_LANES)
            wide_store((int16_t *)area->panel + i, wide_load(area->bytes + i));
}

/* NCHW: one phase of all lines, from what the block's first column sees on. */
static void dot_fill_lines(const struct fc_conv_integer *q, const struct dot_sizes *s,
                           const struct dot_unit *u, ptrdiff_t phase, uint8_t *to)
{
    const struct fc_conv2d *const p = &q->conv;
    const struct steps from = input_steps(p);
    const ptrdiff_t step = p->stride_w, first = u->x0 * step - p->left + phase;
    const ptrdiff_t top = u->y0 * p->stride_h - p->top;
    const ptrdiff_t a = FC_MIN(s->seen, first < 0 ? ceil_div(-first, step) : 0);
    const ptrdiff_t b = FC_MIN(s->seen, first < p->w ? ceil_div(p->w - first, step) : 0);
    struct slice_channels in;
    if (a >= b)
        return;
    for (ptrdiff_t c = 0; c < p->c; c += in.count) {
        in = slice_channels(p, u->n, u->g, c, p->c);
        for (ptrdiff_t i = 0; i < in.count; i++)
            for (ptrdiff_t r = 0; r < s->height; r++, to += s->line) {
                const ptrdiff_t y = top + r;
                if (!in.x || y < 0 || y >= p->h)
                    continue;
                const uint8_t *src = in.x + i * from.channel + y * from.row + first + a * step;
                if (step == 1)
                    memcpy(to + a, src, (size_t)(b - a));
                else if (step == 2)
                    split_phase(to + a, src, b - a, 2);
                else
                    split_phase(to + a, src, b - a, step);
            }
    }
}

/* NCHW: where the pixels of each term stand in the lines; the last word may repeat the first one,
 * which its weights do not see. */
static void dot_terms_nchw(const struct fc_conv2d *p, const struct dot_sizes *s, ptrdiff_t *term)
{
    for (ptrdiff_t r = 0; r < p->kh; r++)
        for (ptrdiff_t x = 0; x < p->kw * p->dilation_w; x += p->dilation_w)
            for (ptrdiff_t c = 0; c < p->c; c++)
                *term++ = (c * s->height + r * p->dilation_h) * s->line +
                          x % p->stride_w * s->phase + x / p->stride_w;
    for (ptrdiff_t t = s->terms; t < s->words * s->each; t++)
        *term++ = 0;
}

/* Words of some pixels, in whole vectors. */
FC_INLINE void dot_join(const uint8_t *lines, const ptrdiff_t *term, const ptrdiff_t each,
                        ptrdiff_t cols, int32_t *to)
{
    const uint8_t *const a = lines + term[0], *const b = lines + term[1];
    const uint8_t *const c = lines + term[each - 2], *const d = lines + term[each - 1];
    for (ptrdiff_t j = 0; j < cols; j += SUM_LANES) {
        sum word = sum_add(sum_load_8(a + j), sum_shift(sum_load_8(b + j), 32 / (int)each));
        if (each == 4)
            word = sum_add(word, sum_add(sum_shift(sum_load_8(c + j), 16),
                                         sum_shift(sum_load_8(d + j), 24)));
        sum_store(to + j, word);
    }
}

static void dot_fill_nchw(const struct fc_conv_integer *q, const struct dot_sizes *s,
                              const struct dot_scratch *area, const struct dot_unit *u)
{
    const struct fc_conv2d *const p = &q->conv;
    const ptrdiff_t down = p->stride_h * s->line, bytes = p->c * s->height * s->line;
    memset(area->bytes, q->x_zero, (size_t)bytes);
    for (ptrdiff_t phase = 0; phase < s->phases; phase++)
        dot_fill_lines(q, s, u, phase, area->bytes + phase * s->phase);
    if (q->flip)
        dot_flip(area->bytes, bytes);
    for (ptrdiff_t w = 0; w < s->words; w++)
        for (ptrdiff_t y = 0; y < u->rows; y++) {
            int32_t *const to = area->panel + w * s->pitch + y * u->cols;
            if (s->each == 2)
                dot_join(area->bytes + y * down, area->term + 2 * w, 2, u->cols, to);
            else
                dot_join(area->bytes + y * down, area->term + 4 * w, 4, u->cols, to);
        }
    if (q->weights_zero) {
        memset(area->window, 0, (size_t)u->pixels * sizeof(int32_t));
        for (ptrdiff_t t = 0; t < s->terms; t++)
            for (ptrdiff_t y = 0; y < u->rows; y++)
                for (ptrdiff_t j = 0; j < u->cols; j++)
                    area->window[y * u->cols + j] += area->bytes[area->term[t] + y * down + j];
    }
}

/* A tile's sums, `rows` by `lanes` of them: those of channel k on, of pixel i of the block on. */
FC_INLINE void dot_store_as(const struct fc_conv_integer *q, const struct dot_unit *u,
                                const struct dot_scratch *area, int nv, ptrdiff_t k, ptrdiff_t i,
                                const int nhwc, const int result)
{
    const struct fc_conv2d *const p = &q->conv;
    const ptrdiff_t all = p->groups * round_up(p->k, FC_INTEGER_CHANNELS);
    const ptrdiff_t rows = FC_MIN(DOT_ROWS, nhwc ? u->pixels - i : p->k - k);
    const ptrdiff_t lanes = nhwc ? p->k - k : u->pixels - i;
    const ptrdiff_t size = result == FC_SUM_TO_BYTE ? 1 : 4, row = nhwc ? u->pixel : u->channel;
    const int32_t *const more = u->more + k, *const window = area->window + i;
    const float low = (float)p->low, high = (float)p->high;
    const sum zero = sum_set1(q->zero);
    const int weights_zero = q->weights_zero;
#define DOT_OF_CHANNEL(at) (nhwc ? sum_load((at) + v) : sum_set1((at)[j]))
    for (ptrdiff_t v = 0; v < FC_MIN(lanes, nv * SUM_LANES); v += SUM_LANES) {
        const int whole = lanes - v >= SUM_LANES;
        const int32_t *sums = area->sums + v;
        char *out = u->out + k * u->channel + i * u->pixel + v * size;
        for (ptrdiff_t j = 0; j < rows; j++, out += row, sums += nv * SUM_LANES) {
            int32_t last[SUM_LANES];
            char *const at = whole ? out : (char *)last;
            sum y = sum_add(sum_load(sums), DOT_OF_CHANNEL(more));
            if (weights_zero)
                y = sum_sub(y, sum_mul(DOT_OF_CHANNEL(more + all),
                                       nhwc ? sum_set1(window[j]) : sum_load(window + v)));
            if (result == FC_SUM_TO_FLOAT)
                y = sum_real(y, DOT_OF_CHANNEL(more + 2 * all));
            if (result == FC_SUM_TO_BYTE)
                y = sum_add(sum_round(y, DOT_OF_CHANNEL(more + 2 * all), low, high), zero);
            if (size == 1)
                sum_store_8((uint8_t *)at, y);
            else
                sum_store((int32_t *)at, y);
            if (!whole)
                memcpy(out, last, (size_t)((lanes - v) * size));
        }
    }
#undef DOT_OF_CHANNEL
}

static void dot_store(const struct fc_conv_integer *q, const struct dot_unit *u,
                          const struct dot_scratch *area, int nv, ptrdiff_t k, ptrdiff_t i)
{
    switch (q->result + 3 * q->conv.nhwc) {
    case FC_SUM_AS_IT_IS: dot_store_as(q, u, area, nv, k, i, 0, FC_SUM_AS_IT_IS); break;
    case FC_SUM_TO_FLOAT: dot_store_as(q, u, area, nv, k, i, 0, FC_SUM_TO_FLOAT); break;
    case FC_SUM_TO_BYTE: dot_store_as(q, u, area, nv, k, i, 0, FC_SUM_TO_BYTE); break;
    case FC_SUM_AS_IT_IS + 3: dot_store_as(q, u, area, nv, k, i, 1, FC_SUM_AS_IT_IS); break;
    case FC_SUM_TO_FLOAT + 3: dot_store_as(q, u, area, nv, k, i, 1, FC_SUM_TO_FLOAT); break;
    case FC_SUM_TO_BYTE + 3: dot_store_as(q, u, area, nv, k, i, 1, FC_SUM_TO_BYTE); break;
    }
}

/* Of a block, one tile: channels from k on, pixels from i on. */
FC_INLINE void dot_tile(const struct fc_conv_integer *q, const struct dot_sizes *s,
                            const struct dot_scratch *area, const struct dot_unit *u,
                            ptrdiff_t k, ptrdiff_t i, dot_run_tile *const *run)
{
    const struct fc_conv2d *const p = &q->conv;
    const ptrdiff_t lanes = p->nhwc ? p->k - k : u->pixels - i;
    const int nv = lanes > SUM_LANES ? DOT_VECTORS : 1;
    struct dot_tile t = {.count = s->words, .sums = area->sums};
    if (p->nhwc) {
        const ptrdiff_t lane = k % FC_INTEGER_CHANNELS;
        t.words = area->panel + i * s->pitch;
        t.row = s->pitch;
        t.vectors = u->weight + (k - lane) * s->words + lane;
        t.next = FC_INTEGER_CHANNELS;
    } else {
        t.words = u->weight + k * s->words;
        t.row = s->words;
        t.vectors = area->panel + i;
        t.next = s->pitch;
    }
    run[nv - 1](&t);
    dot_store(q, u, area, nv, k, i);
}

FC_INLINE void dot_run(const struct fc_conv_integer *q, ptrdiff_t begin, ptrdiff_t end,
                           void *scratch, const ptrdiff_t each, dot_run_tile *const *run)
{
    const struct fc_conv2d *const p = &q->conv;
    const struct dot_sizes s = dot_sizes(p, each);
    const struct dot_scratch area = dot_scratch(p, &s, scratch);
    if (!p->nhwc)
        dot_terms_nchw(p, &s, area.term);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct dot_unit u = dot_unit(q, &s, unit);
        /* What fills the lanes stays in the L1 cache, while words of the rows come by. */
        if (p->nhwc) {
            dot_fill_nhwc(q, &s, &area, &u);
            for (ptrdiff_t k = 0; k < p->k; k += DOT_WIDTH)
                for (ptrdiff_t i = 0; i < u.pixels; i += DOT_ROWS)
                    dot_tile(q, &s, &area, &u, k, i, run);
        } else {
            dot_fill_nchw(q, &s, &area, &u);
            for (ptrdiff_t i = 0; i < u.pixels; i += DOT_WIDTH)
                for (ptrdiff_t k = 0; k < p->k; k += DOT_ROWS)
                    dot_tile(q, &s, &area, &u, k, i, run);
        }
    }
}

static size_t conv_integer_scratch(const void *params) { return dot_scratch_bytes(params, 2); }
static void conv_integer(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    dot_run(params, begin, end, scratch, 2, dot_pairs);
}

#ifdef SUM_DOT4
static size_t conv_integer_vnni_scratch(const void *params) { return dot_scratch_bytes(params, 4); }
static void conv_integer_vnni(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv_integer *q = params;
    dot_run(q, begin, end, scratch, 4, q->conv.nhwc ? dot_pixels : dot_weights);
}
#endif
