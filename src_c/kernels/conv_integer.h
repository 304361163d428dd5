/* Convolution of bytes into sums of 32 bits, in both layouts with output channels in the lanes.
 *
 * A unit is a block of neighbouring output pixels of one slice and group: some whole rows, or a
 * part of one. What they see is an area (conv_integer_input.h) that tiles read as it is: a tile is
 * some neighbouring pixels of a row by DOT_VECTORS vectors of output channels. Words of a pixel are
 * broadcast one by one; where each channel is a plane for itself, words of its taps are joined. Sums go
 * by memory to what makes results of them, but for those of whole tiles that become bytes from registers.
 * In NCHW a block's results are transposed when those of DOT_WIDTH channels are there.
 *
 * Signs: dot products of bytes are of one without and one with a sign, so 128 is added to int8
 * pixels and subtracted from uint8 weights, and from their zero points (fastconv/conv_integer.py).
 * With X, Z the pixels and their zero point, W, V the weights and theirs, a sum of (X - Z) (W - V)
 * is sum X W - V sum X - Z sum (W - V); the last term is part of what is added to every sum. All of
 * it is modulo 2**32, and no result leaves 32 bits.
 *
 * Bound by arithmetic: for 14 x 2 products 14 broadcasts and 2 loads of packed weights, which may
 * stream from the L2 cache; of planes by joining, 6 instructions for a product or two. Tap rows on padding
 * are skipped; columns cost what others do. */

#define DOT_VECTORS 2
#define DOT_WIDTH (DOT_VECTORS * SUM_LANES)
#if VEC_REGS == 32
#define DOT_PIXELS 14
#define DOT_LENGTHS(X) X(4) X(7) X(8)
#define DOT_LONGEST(X) X(14) /* of bytes alone: pairs take one more register, and rarely run here */
#else
#define DOT_LONGEST(X)
#if LANES > 1
#define DOT_PIXELS 6
#define DOT_LENGTHS(X) X(2) X(3) X(4) X(6)
#else
#define DOT_PIXELS 4
#define DOT_LENGTHS(X) X(4)
#endif
#endif

#include "conv_integer_input.h"

struct dot_tile {
    const char *x;                     /* the first pixel */
    const int32_t *weight, *start;     /* start: what the sums of each channel begin with */
    const ptrdiff_t *run;              /* bytes from a pixel to each of its runs */
    ptrdiff_t runs, words, pixel, tap; /* words of a run; bytes from output to output, from tap to tap */
    int32_t *sums;
    char *out; /* where the pixels' bytes of all lanes go at once, `pitch` bytes apart; or NULL */
    ptrdiff_t pitch;
    const int32_t *scale;
    float high;
    int32_t low, zero;
};

FC_INLINE sum dot_word(const char *at)
{
    int32_t word;
    memcpy(&word, at, sizeof word);
    return sum_set1(word);
}

/* A tile's words: of all channels, the same for each vector of output channels; of planes 4 taps of each. */
#define DOT_ONE(at, v, tap) dot_word(at)
#define DOT_EACH(at, v, tap) dot_taps((const uint8_t *)(at) + (v) * SUM_LANES, tap)

/* Sums go to results, where `put` makes them and there is a place for them, or to memory. */
#define DOT_END(t, acc, n, nv, put)                                                   \
    do {                                                                              \
        if ((t)->out) {                                                               \
            put(t, acc, n);                                                           \
            break;                                                                    \
        }                                                                             \
        FC_UNROLL for (int i = 0; i < n; i++)                                         \
            FC_UNROLL for (int v = 0; v < nv; v++)                                    \
                sum_store((t)->sums + (i * DOT_VECTORS + v) * SUM_LANES, acc[i][v]);  \
    } while (0)

#define DOT_TILE(name, target, n, nv, words_at, step, dot, put)                             \
    target static void name##_##nv##_##n(const struct dot_tile *t)                          \
    {                                                                                       \
        sum acc[n][nv];                                                                     \
        const int32_t *weight = t->weight;                                                  \
        const ptrdiff_t words = t->words, pixel = t->pixel, tap = t->tap;                   \
        FC_UNROLL for (int i = 0; i < n; i++)                                               \
            FC_UNROLL for (int v = 0; v < nv; v++)                                          \
                acc[i][v] = sum_load(t->start + v * SUM_LANES);                             \
        for (ptrdiff_t r = 0; r < t->runs; r++) {                                           \
            const char *x = t->x + t->run[r];                                               \
            for (ptrdiff_t w = words; w > 0; w--, x += step, weight += FC_INTEGER_CHANNELS) { \
                const char *at = x;                                                         \
                sum vector[nv];                                                             \
                FC_UNROLL for (int v = 0; v < nv; v++) {                                    \
                    vector[v] = sum_load(weight + v * SUM_LANES);                           \
                    FC_KEEP(vector[v]);                                                     \
                }                                                                           \
                FC_UNROLL for (int i = 0; i < n; i++) {                                     \
                    /* By threes, which addresses have room for. */                         \
                    const char *const word = at + i % 3 * pixel;                            \
                    if (i % 3 == 2)                                                         \
                        at += 3 * pixel;                                                    \
                    FC_UNROLL for (int v = 0; v < nv; v++)                                  \
                        acc[i][v] = dot(acc[i][v], words_at(word, v, tap), vector[v]);      \
                }                                                                           \
            }                                                                               \
        }                                                                                   \
        (void)tap;                                                                          \
        DOT_END(t, acc, n, nv, put);                                                        \
    }

typedef void dot_run_tile(const struct dot_tile *t);
static const int dot_lengths[] = {
#define DOT_LENGTH(n) n,
    DOT_LENGTHS(DOT_LENGTH) DOT_LONGEST(DOT_LENGTH)
};

/* Of tiles that are given no place for results. */
#define DOT_SUMS(t, acc, n) (void)0

#define DOT_PAIRS(n)                                           \
    DOT_TILE(dot_pairs, , n, 1, DOT_ONE, 4, sum_dot, DOT_SUMS) \
    DOT_TILE(dot_pairs, , n, 2, DOT_ONE, 4, sum_dot, DOT_SUMS)
#define DOT_NAMES_PAIRS(n) {dot_pairs_1_##n, dot_pairs_2_##n},
DOT_LENGTHS(DOT_PAIRS)
static dot_run_tile *const dot_pairs[][DOT_VECTORS] = {DOT_LENGTHS(DOT_NAMES_PAIRS)};

#ifdef SUM_DOT4
/* Results of all lanes of n pixels. */
FC_VNNI FC_INLINE void dot_put_bytes(const struct dot_tile *t, sum (*acc)[DOT_VECTORS], const int n)
{
    const sum scale[] = {sum_load(t->scale), sum_load(t->scale + SUM_LANES)};
    char *out = t->out;
    FC_UNROLL for (int i = 0; i < n; i++, out += t->pitch)
        sum_store_pair_8((uint8_t *)out, sum_below(acc[i][0], scale[0], t->high),
                         sum_below(acc[i][1], scale[1], t->high), t->low, t->zero);
}

#define DOT_BYTES_PUT(n, put)                                          \
    DOT_TILE(dot_bytes, FC_VNNI, n, 1, DOT_ONE, 4, sum_dot4, DOT_SUMS) \
    DOT_TILE(dot_bytes, FC_VNNI, n, 2, DOT_ONE, 4, sum_dot4, put)
#define DOT_BYTES(n) DOT_BYTES_PUT(n, DOT_SUMS)
#define DOT_BYTES_AT_ONCE(n) DOT_BYTES_PUT(n, dot_put_bytes)
#define DOT_NAMES_BYTES(n) {dot_bytes_1_##n, dot_bytes_2_##n},
DOT_LENGTHS(DOT_BYTES)
DOT_LONGEST(DOT_BYTES_AT_ONCE)
static dot_run_tile *const dot_bytes[][DOT_VECTORS] = {
    DOT_LENGTHS(DOT_NAMES_BYTES) DOT_LONGEST(DOT_NAMES_BYTES)
};

/* The same 4 bytes of SUM_LANES channels' taps, as a word of each. */
FC_INLINE sum dot_taps(const uint8_t *x, ptrdiff_t tap)
{
    return sum_join_8(x, x + tap, x + 2 * tap, x + 3 * tap);
}
enum { DOT_PLANE_PIXELS = 4 };
static const int dot_plane_lengths[] = {DOT_PLANE_PIXELS};
DOT_TILE(dot_planes, FC_VNNI, 4, 2, DOT_EACH, 4 * tap, sum_dot4, dot_put_bytes)
static dot_run_tile *const dot_planes[][DOT_VECTORS] = {{dot_planes_2_4, dot_planes_2_4}};
_Static_assert(DOT_PLANE_PIXELS == 4, "the tile above has as many");

/* The same at stride 1 where the last word of a run has a term to spare: pairs of neighbouring pixels
 * see the same words, the second one with its weights a term later. */
FC_VNNI static void dot_planes_beside(const struct dot_tile *t)
{
    enum { PIXELS = DOT_PLANE_PIXELS };
    sum acc[PIXELS][DOT_VECTORS];
    const int32_t *weight = t->weight;
    const ptrdiff_t tap = t->tap;
    FC_UNROLL for (int i = 0; i < PIXELS; i++)
        FC_UNROLL for (int v = 0; v < DOT_VECTORS; v++)
            acc[i][v] = sum_load(t->start + v * SUM_LANES);
    for (ptrdiff_t r = 0; r < t->runs; r++) {
        const char *x = t->x + t->run[r];
        sum last[DOT_VECTORS] = {sum_set1(0), sum_set1(0)};
        for (ptrdiff_t w = t->words; w > 0; w--, x += 4 * tap, weight += FC_INTEGER_CHANNELS)
            FC_UNROLL for (int v = 0; v < DOT_VECTORS; v++) {
                const sum first = sum_load(weight + v * SUM_LANES), second = sum_later_8(last[v], first);
                last[v] = first;
                FC_UNROLL for (int i = 0; i < PIXELS; i += 2) {
                    const sum word = DOT_EACH(x + i * tap, v, tap);
                    acc[i][v] = sum_dot4(acc[i][v], word, first);
                    acc[i + 1][v] = sum_dot4(acc[i + 1][v], word, second);
                }
            }
    }
    DOT_END(t, acc, PIXELS, DOT_VECTORS, dot_put_bytes);
}
static dot_run_tile *const dot_pairs_of_planes[][DOT_VECTORS] = {{dot_planes_beside, dot_planes_beside}};
#endif

/* Tiles of `count` lengths, from the shortest on. */
struct dot_tiles {
    dot_run_tile *const (*run)[DOT_VECTORS];
    const int *lengths;
    int count;
    int at_once; /* those of so many pixels store bytes themselves */
};

#define DOT_TILES(run, lengths, at_once) {run, lengths, sizeof run / sizeof *run, at_once}

/* The shortest of them that takes so many pixels, or the longest one. */
static int dot_shortest(const struct dot_tiles *tiles, ptrdiff_t pixels)
{
    int i = 0;
    while (i < tiles->count - 1 && tiles->lengths[i] < pixels)
        i++;
    return i;
}

/* Which of them, and a shorter one for what they leave, take a row of outputs in the least time:
 * each costs a pixel more than it has. */
static int dot_best(const struct dot_tiles *tiles, ptrdiff_t cols)
{
    ptrdiff_t least = PTRDIFF_MAX;
    int best = 0;
    for (int i = 0; i < tiles->count; i++) {
        const ptrdiff_t n = tiles->lengths[i], rest = cols % n;
        const ptrdiff_t last = rest ? tiles->lengths[dot_shortest(tiles, rest)] + 1 : 0;
        if (cols / n * (n + 1) + last <= least) {
            least = cols / n * (n + 1) + last;
            best = i;
        }
    }
    return best;
}

FC_INLINE ptrdiff_t dot_result_size(const struct fc_conv_integer *q)
{
    return q->result == FC_SUM_TO_BYTE ? 1 : 4;
}

/* Bytes of the results of DOT_WIDTH channels that NCHW transposes, and of what is read beyond. */
FC_INLINE ptrdiff_t dot_results(const struct fc_conv_integer *q, const struct dot_sizes *s)
{
    return q->conv.nhwc ? 0 : ((s->pixels + SUM_LANES) * DOT_WIDTH + 64) * dot_result_size(q);
}

FC_SMALL size_t dot_scratch_bytes(const struct fc_conv_integer *q, ptrdiff_t each)
{
    const struct dot_sizes s = dot_sizes(q, each);
    const ptrdiff_t area = dot_area(&q->conv, &s);
    return taken(area, 1) + taken(s.size == 2 ? area : 0, sizeof(int16_t)) +
           taken(s.pixels, sizeof(int32_t)) + taken(s.rows * s.cols, sizeof(int32_t)) +
           taken(s.runs, sizeof(ptrdiff_t)) +
           taken(DOT_PIXELS * DOT_WIDTH, sizeof(int32_t)) + taken(dot_results(q, &s), 1);
}

struct dot_scratch {
    uint8_t *area;
    int16_t *wide;   /* the same, for terms of 16 bits */
    int32_t *window; /* of each output, the sum of what it sees */
    int32_t *pixels; /* of each pixel of the area, that of its channels */
    ptrdiff_t *run;  /* from what a pixel sees first to each run */
    int32_t *sums;
    char *results;
};

static struct dot_scratch dot_scratch(const struct fc_conv_integer *q, const struct dot_sizes *s,
                                      void *scratch)
{
    const struct fc_conv2d *const p = &q->conv;
    const ptrdiff_t area = dot_area(p, s), across = s->runs / p->kh;
    char *at = scratch;
    struct dot_scratch to;
    to.area = take(&at, area, 1);
    to.wide = take(&at, s->size == 2 ? area : 0, sizeof(int16_t));
    to.window = take(&at, s->pixels, sizeof(int32_t));
    to.pixels = take(&at, s->rows * s->cols, sizeof(int32_t));
    to.run = take(&at, s->runs, sizeof(ptrdiff_t));
    to.sums = take(&at, DOT_PIXELS * DOT_WIDTH, sizeof(int32_t));
    to.results = take(&at, dot_results(q, s), 1);
    for (ptrdiff_t r = 0; r < s->runs; r++)
        to.run[r] = r / across * p->dilation_h * s->row + r % across * p->dilation_w * s->pixel;
    return to;
}

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
    const ptrdiff_t size = dot_result_size(q), channels = round_up(p->k, FC_INTEGER_CHANNELS);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    struct dot_unit u;
    u.x0 = unit % blocks_x * p->block_cols;
    u.y0 = (unit /= blocks_x) % blocks_y * p->block_rows;
    u.g = (unit /= blocks_y) % p->groups;
    u.n = unit / p->groups;
    u.rows = FC_MIN(p->block_rows, p->oh - u.y0);
    u.cols = FC_MIN(p->block_cols, p->ow - u.x0);
    u.weight = (const int32_t *)p->weight + u.g * channels * s->runs * s->words;
    u.more = (const int32_t *)p->bias + u.g * channels;
    u.pixel = to.pixel * size;
    u.channel = to.channel * size;
    u.pixels = u.rows * u.cols;
    u.out = (char *)p->out + size * (output_slice(p, &to, u.n) + u.g * to.group) +
            (u.y0 * p->ow + u.x0) * u.pixel;
    return u;
}

/* Make the unit's input ready, and what goes with it; where the first output's begins. */
static const char *dot_input(const struct fc_conv_integer *q, const struct dot_sizes *s,
                             const struct dot_scratch *area, const struct dot_unit *u)
{
    const struct fc_conv2d *const p = &q->conv;
    const ptrdiff_t total = s->rows * s->cols * p->c;
    if (s->in_place)
        return (const char *)dot_slice(p, u->n, u->g, 0).x +
               u->y0 * p->stride_h * s->row + u->x0 * p->stride_w * s->pixel;
    dot_fill(q, s, u, area->area);
    if (q->flip)
        for (ptrdiff_t i = 0; i < total; i += LANES)
            v_store(area->area + i, v_flip(v_load(area->area + i)));
    if (s->size == 1)
        return (const char *)area->area;
    for (ptrdiff_t i = 0; i < total; i += WIDE_LANES)
        wide_store(area->wide + i, wide_load(area->area + i));
    return (const char *)area->wide;
}

/* Of each output the sum of all it sees, for weights whose zero point is not 0: of the sums of each
 * pixel's channels. */
FC_SMALL void dot_windows(const struct fc_conv2d *p, const struct dot_sizes *s,
                        const struct dot_scratch *area, const struct dot_unit *u, const char *in)
{
    const uint8_t *const x = s->in_place ? (const uint8_t *)in : area->area;
    const ptrdiff_t row = s->row / s->size, pixel = s->pixel / s->size;
    int32_t *window = area->window;
    for (ptrdiff_t i = 0; i < s->rows - (p->block_rows - u->rows) * s->stride; i++)
        for (ptrdiff_t j = 0; j < s->cols - (p->block_cols - u->cols) * p->stride_w; j++) {
            int32_t total = 0;
            for (ptrdiff_t c = 0; c < p->c; c++)
                total += x[i * row + j * pixel + c];
            area->pixels[i * s->cols + j] = total;
        }
    for (ptrdiff_t i = 0; i < u->rows; i++)
        for (ptrdiff_t j = 0; j < u->cols; j++, window++) {
            *window = 0;
            for (ptrdiff_t r = 0; r < p->kh; r++)
                for (ptrdiff_t t = 0; t < p->kw; t++)
                    *window += area->pixels[(i * s->stride + r * p->dilation_h) * s->cols +
                                            j * p->stride_w + t * p->dilation_w];
        }
}

/* The rows of what output channels have beside their weights (conv.bias, fastconv.h). */
enum { DOT_START, DOT_WEIGHT_ZERO, DOT_SCALE, DOT_PADDING };
FC_INLINE const int32_t *dot_row(const struct fc_conv2d *p, const int32_t *more, ptrdiff_t row)
{
    return more + row * p->groups * round_up(p->k, FC_INTEGER_CHANNELS);
}

/* Some of a tile's sums, `pixels` by `lanes` of them, as results: of the channels from `more` on
 * and the pixels from `window` on, to every `pitch` bytes of out. */
static void dot_store(const struct fc_conv_integer *q, const int32_t *sums, ptrdiff_t pixels,
                      ptrdiff_t lanes, const int32_t *more, const int32_t *window, char *out,
                      ptrdiff_t pitch)
{
    const int bytes = q->result == FC_SUM_TO_BYTE;
    const ptrdiff_t size = dot_result_size(q);
    const int32_t *const weight_zeros = dot_row(&q->conv, more, DOT_WEIGHT_ZERO);
    const int32_t *const scales = dot_row(&q->conv, more, DOT_SCALE);
    const float low = (float)q->conv.low, high = (float)q->conv.high;
    const sum zero = sum_set1(q->zero);
    /* What most are, without a choice for each vector: with 32 registers that is slower. */
    if (VEC_REGS == 16 && LANES > 1 && bytes && lanes == DOT_WIDTH && !q->weights_zero) {
        for (ptrdiff_t i = 0; i < pixels; i++, out += pitch, sums += DOT_WIDTH)
            FC_UNROLL for (int v = 0; v < DOT_WIDTH; v += SUM_LANES) {
                const sum scale = sum_load(scales + v);
                const sum y = sum_round(sum_load(sums + v), scale, low, high);
                sum_store_8((uint8_t *)out + v, sum_add(y, zero));
            }
        return;
    }
    for (ptrdiff_t v = 0; v < lanes; v += SUM_LANES, sums += SUM_LANES) {
        const sum weight_zero = sum_load(weight_zeros + v), scale = sum_load(scales + v);
        const int whole = lanes - v >= SUM_LANES;
        char *to = out + v * size;
        for (ptrdiff_t i = 0; i < pixels; i++, to += pitch) {
            int32_t last[SUM_LANES];
            char *const at = whole ? to : (char *)last;
            sum y = sum_load(sums + i * DOT_WIDTH);
            if (q->weights_zero)
                y = sum_sub(y, sum_mul(weight_zero, sum_set1(window[i])));
            if (bytes)
                sum_store_8((uint8_t *)at, sum_add(sum_round(y, scale, low, high), zero));
            else if (q->result == FC_SUM_TO_FLOAT)
                sum_store((int32_t *)at, sum_real(y, scale));
            else
                sum_store((int32_t *)at, y);
            if (!whole)
                memcpy(to, last, (size_t)((lanes - v) * size));
        }
    }
}

/* NCHW: some neighbouring results, the first bytes of a vector, of one channel. */
FC_INLINE void dot_put(char *out, const char *line, ptrdiff_t size, ptrdiff_t pixels)
{
    if (pixels == SUM_LANES && size == 1)
        memcpy(out, line, SUM_LANES);
    else if (pixels == SUM_LANES)
        memcpy(out, line, 4 * SUM_LANES);
    else
        memcpy(out, line, (size_t)(pixels * size));
}

/* SUM_LANES pixels of DOT_WIDTH bytes, as a line of bytes for each channel. */
FC_NOINLINE void dot_turn_bytes(int32_t *dst, const char *src)
{
    enum { WORDS = (DOT_WIDTH + 3) / 4 }; /* of a pixel, and as many vectors */
    sum a[WORDS];
    FC_UNROLL for (int i = 0; i < WORDS; i++)
        a[i] = sum_load((const int32_t *)(const void *)src + i * SUM_LANES);
    dot_unzip(a, WORDS);
    FC_UNROLL for (int i = 0; i < WORDS; i++)
        sum_store(dst + i * SUM_LANES, sum_split_8(a[i]));
}

/* NCHW: a block's results of some channels, of `size` bytes, to the first of them. */
static void dot_store_nchw(const struct dot_unit *u, const char *results, ptrdiff_t channels,
                           char *out, ptrdiff_t size)
{
    const ptrdiff_t each = size == 1 ? DOT_WIDTH : SUM_LANES, pixels = FC_MIN(SUM_LANES, u->pixels);
    for (ptrdiff_t i = 0; i < u->pixels; i += SUM_LANES) {
        /* The last vector of pixels may overlap the one before. */
        const ptrdiff_t first = FC_MAX(0, FC_MIN(i, u->pixels - SUM_LANES));
        const char *const from = results + first * DOT_WIDTH * size;
        char *to = out + first * size;
        for (ptrdiff_t k = 0; k < channels; k += each) {
            const ptrdiff_t count = FC_MIN(each, channels - k);
            int32_t words[SUM_LANES * SUM_LANES];
            if (size == 1)
                dot_turn_bytes(words, from + k);
            else
                dot_turn(words, from + k * size, DOT_WIDTH * size);
            for (ptrdiff_t c = 0; c < count; c++, to += u->channel)
                dot_put(to, (const char *)words + c * SUM_LANES * size, size, pixels);
        }
    }
}

/* Tap rows on the padding above and below are left out of tile t, for output row y of the image;
 * what they sum up to is known (fastconv.h), and goes to `start` with what sums begin with. */
static void dot_skip_rows(const struct fc_conv2d *p, const struct dot_sizes *s,
                          const struct dot_tile *all, struct dot_tile *t, ptrdiff_t y,
                          int32_t *start)
{
    const ptrdiff_t across = s->runs / p->kh, top = y * p->stride_h - p->top;
    ptrdiff_t begin = 0, end = p->kh;
    while (begin < end && top + begin * p->dilation_h < 0)
        begin++;
    while (begin < end && top + (end - 1) * p->dilation_h >= p->h)
        end--;
    t->run = all->run + begin * across;
    t->runs = (end - begin) * across;
    t->weight = all->weight + begin * across * s->words * FC_INTEGER_CHANNELS;
    for (ptrdiff_t v = 0; v < DOT_WIDTH; v += SUM_LANES) {
        sum first = sum_load(all->start + v);
        for (ptrdiff_t r = 0; r < p->kh; r++)
            if (r < begin || r >= end)
                first = sum_add(first, sum_load(dot_row(p, all->start, DOT_PADDING + r) + v));
        sum_store(start + v, first);
    }
}

/* Output channels from k on of a block. */
FC_INLINE void dot_channels(const struct fc_conv_integer *q, const struct dot_sizes *s,
                            const struct dot_scratch *area, const struct dot_unit *u,
                            const char *in, ptrdiff_t k, const struct dot_tiles *tiles)
{
    const struct fc_conv2d *const p = &q->conv;
    const ptrdiff_t lanes = FC_MIN(DOT_WIDTH, p->k - k), lane = k % FC_INTEGER_CHANNELS;
    const ptrdiff_t pitch = p->nhwc ? u->pixel : DOT_WIDTH * dot_result_size(q);
    const ptrdiff_t stored = p->nhwc ? lanes : round_up(lanes, SUM_LANES);
    const int best = dot_best(tiles, u->cols), vectors = lanes > SUM_LANES;
    char *const out = p->nhwc ? u->out + k * u->channel : area->results;
    const int whole = q->result == FC_SUM_TO_BYTE && lanes == DOT_WIDTH && !q->weights_zero;
    int32_t start[DOT_WIDTH];
    const struct dot_tile all = {
        .weight = u->weight + (k - lane) * s->runs * s->words + lane,
        .start = dot_row(p, u->more, DOT_START) + k, .scale = dot_row(p, u->more, DOT_SCALE) + k,
        .run = area->run, .runs = s->runs, .words = s->words, .pixel = p->stride_w * s->pixel,
        .tap = s->pixel, .sums = area->sums, .pitch = pitch,
        .low = (int32_t)p->low, .high = (float)p->high, .zero = q->zero,
    };
    struct dot_tile t = all;
    t.start = start;
    for (ptrdiff_t y = 0; y < u->rows; y++) {
        dot_skip_rows(p, s, &all, &t, u->y0 + y, start);
        for (ptrdiff_t x = 0, n; x < u->cols; x += n) {
            const ptrdiff_t i = y * u->cols + x, left = u->cols - x;
            const int tile = left < tiles->lengths[best] ? dot_shortest(tiles, left) : best;
            /* Past the end of a row lies what a block does not have, but past an image nothing: a tile
             * that would read there begins earlier. */
            const ptrdiff_t back = s->in_place ? FC_MAX(tiles->lengths[tile] - left, 0) : 0;
            n = tiles->lengths[tile];
            t.x = in + y * s->stride * s->row + (x - back) * t.pixel + q->planes * k;
            t.out = whole && n == tiles->at_once && n <= left ? out + i * pitch : NULL;
            tiles->run[tile][vectors](&t);
            if (t.out)
                continue;
            dot_store(q, area->sums + back * DOT_WIDTH, FC_MIN(n, left), stored, u->more + k,
                      area->window + i, out + i * pitch, pitch);
        }
    }
    if (!p->nhwc)
        dot_store_nchw(u, area->results, lanes, u->out + k * u->channel, dot_result_size(q));
}

FC_NOINLINE void dot_run(const struct fc_conv_integer *q, ptrdiff_t begin, ptrdiff_t end,
                         void *scratch, ptrdiff_t each, const struct dot_tiles *tiles)
{
    const struct dot_sizes s = dot_sizes(q, each);
    const struct dot_scratch area = dot_scratch(q, &s, scratch);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct dot_unit u = dot_unit(q, &s, unit);
        const char *const in = dot_input(q, &s, &area, &u);
        if (q->weights_zero)
            dot_windows(&q->conv, &s, &area, &u, in);
        /* Weights of a tile stay in the caches, while pixels come by. */
        for (ptrdiff_t k = 0; k < q->conv.k; k += DOT_WIDTH)
            dot_channels(q, &s, &area, &u, in, k, tiles);
    }
}

FC_SMALL size_t conv_integer_scratch(const void *params) { return dot_scratch_bytes(params, 2); }
static void conv_integer(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    static const struct dot_tiles tiles = DOT_TILES(dot_pairs, dot_lengths, 0);
    dot_run(params, begin, end, scratch, 2, &tiles);
}

#ifdef SUM_DOT4
FC_SMALL size_t conv_integer_vnni_scratch(const void *params) { return dot_scratch_bytes(params, 4); }
static void conv_integer_vnni(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    static const struct dot_tiles
        bytes = DOT_TILES(dot_bytes, dot_lengths, DOT_PIXELS),
        planes = DOT_TILES(dot_planes, dot_plane_lengths, DOT_PLANE_PIXELS),
        beside = DOT_TILES(dot_pairs_of_planes, dot_plane_lengths, DOT_PLANE_PIXELS);
    const struct fc_conv_integer *const q = params;
    const struct fc_conv2d *const p = &q->conv;
    const int spare = p->stride_w == 1 && (p->dilation_w > 1 || p->kw % 4 != 0);
    dot_run(q, begin, end, scratch, 4, !q->planes ? &bytes : spare ? &beside : &planes);
}
#endif
