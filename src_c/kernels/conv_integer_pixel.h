/* Matrix products of bytes (1x1) in NCHW, with pixels in the lanes, for processors with VNNI.
 *
 * A unit is a block of neighbouring pixels of one sample and group. Words of 4 channels are joined for
 * SUM_LANES pixels at a time, a vector, and nothing is turned around: a tile is ACROSS_K output channels by
 * ACROSS_VECTORS vectors, weights are broadcast word by word, and the results of a channel are neighbours
 * in the image. Weights and what goes with them are packed as for conv_integer.h, whose arithmetic this is.
 *
 * Bound by arithmetic: for 8 x 3 products 8 broadcasts and 3 loads, all from the L1 cache. */

#define ACROSS_K 8 /* divides FC_INTEGER_CHANNELS */
#define ACROSS_VECTORS 3

struct across_tile {
    const int32_t *pixels[ACROSS_VECTORS], *weight; /* [word][lane]; [word][FC_INTEGER_CHANNELS] */
    ptrdiff_t words;
    const int32_t *more;             /* of its first channel */
    const int32_t *window[ACROSS_VECTORS]; /* of pixels the sums of their channels */
    char *out[ACROSS_VECTORS];       /* where the first channel's results of each vector go */
    ptrdiff_t channels, channel;     /* that there are; bytes from one to the next */
};

/* Results of sums that are not plain bytes: [channel][vector][lane]. */
static void across_store(const struct fc_conv_integer *q, const struct across_tile *t, const int32_t *sums)
{
    const int32_t *const weight_zeros = dot_row(&q->conv, t->more, DOT_WEIGHT_ZERO);
    const int32_t *const scales = dot_row(&q->conv, t->more, DOT_SCALE);
    for (ptrdiff_t k = 0; k < t->channels; k++)
        for (int v = 0; v < ACROSS_VECTORS; v++, sums += SUM_LANES) {
            char *const to = t->out[v] + k * t->channel;
            const sum scale = sum_set1(scales[k]);
            sum y = sum_load(sums);
            if (q->weights_zero)
                y = sum_sub(y, sum_mul(sum_set1(weight_zeros[k]), sum_load(t->window[v])));
            if (q->result == FC_SUM_TO_BYTE)
                sum_store_8((uint8_t *)to, sum_add(sum_round(y, scale, (float)q->conv.low,
                                                             (float)q->conv.high), sum_set1(q->zero)));
            else
                sum_store((int32_t *)(void *)to, q->result == FC_SUM_TO_FLOAT ? sum_real(y, scale) : y);
        }
}

FC_VNNI FC_NOINLINE void across_sums(const struct fc_conv_integer *q, const struct across_tile *t)
{
    const int bytes = q->result == FC_SUM_TO_BYTE && !q->weights_zero && t->channels == ACROSS_K;
    const ptrdiff_t words = t->words;
    const int32_t *const starts = dot_row(&q->conv, t->more, DOT_START);
    const int32_t *pixels[ACROSS_VECTORS], *weight = t->weight;
    sum acc[ACROSS_K][ACROSS_VECTORS];
    FC_UNROLL for (int v = 0; v < ACROSS_VECTORS; v++)
        pixels[v] = t->pixels[v];
    FC_UNROLL for (int k = 0; k < ACROSS_K; k++)
        FC_UNROLL for (int v = 0; v < ACROSS_VECTORS; v++)
            acc[k][v] = sum_set1(starts[k]);
    for (ptrdiff_t w = 0; w < words; w++, weight += FC_INTEGER_CHANNELS) {
        sum vector[ACROSS_VECTORS];
        FC_UNROLL for (int v = 0; v < ACROSS_VECTORS; v++) {
            vector[v] = sum_load(pixels[v] + w * SUM_LANES);
            FC_KEEP(vector[v]);
        }
        FC_UNROLL for (int k = 0; k < ACROSS_K; k++) {
            const sum each = sum_set1(weight[k]);
            FC_UNROLL for (int v = 0; v < ACROSS_VECTORS; v++)
                acc[k][v] = sum_dot4(acc[k][v], vector[v], each);
        }
    }
    if (bytes) {
        const int32_t *const scales = dot_row(&q->conv, t->more, DOT_SCALE);
        const float low = (float)q->conv.low, high = (float)q->conv.high;
        const sum zero = sum_set1(q->zero);
        ptrdiff_t at = 0;
        FC_UNROLL for (int k = 0; k < ACROSS_K; k++, at += t->channel) {
            const sum scale = sum_set1(scales[k]);
            FC_UNROLL for (int v = 0; v < ACROSS_VECTORS; v++)
                sum_store_8((uint8_t *)t->out[v] + at,
                            sum_add(sum_round(acc[k][v], scale, low, high), zero));
        }
    } else {
        int32_t sums[ACROSS_K * ACROSS_VECTORS * SUM_LANES];
        FC_UNROLL for (int k = 0; k < ACROSS_K; k++)
            FC_UNROLL for (int v = 0; v < ACROSS_VECTORS; v++)
                sum_store(sums + (k * ACROSS_VECTORS + v) * SUM_LANES, acc[k][v]);
        across_store(q, t, sums);
    }
}

/* Of each pixel the sum of its channels. */
FC_VNNI FC_SMALL void across_windows(const int32_t *pixels, ptrdiff_t vectors, ptrdiff_t c, int32_t *window)
{
    for (; vectors > 0; vectors--, window += SUM_LANES) {
        sum total = sum_set1(0);
        for (ptrdiff_t rest = c; rest > 0; rest -= 4, pixels += SUM_LANES)
            total = sum_dot4(total, sum_load(pixels), sum_set1(0x01010101 >> (8 * FC_MAX(0, 4 - rest))));
        sum_store(window, total);
    }
}

FC_INLINE ptrdiff_t across_vectors(const struct fc_conv2d *p) { return ceil_div(p->block_cols, SUM_LANES); }

FC_SMALL size_t conv_integer_pixel_scratch(const void *params)
{
    const struct fc_conv2d *p = &((const struct fc_conv_integer *)params)->conv;
    const ptrdiff_t lanes = across_vectors(p) * SUM_LANES;
    return taken(lanes * ceil_div(p->c, 4), sizeof(int32_t)) + taken(lanes, sizeof(int32_t));
}

static void conv_integer_pixel(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv_integer *const q = params;
    const struct fc_conv2d *const p = &q->conv;
    const struct dot_sizes s = dot_sizes(q, 4);
    const ptrdiff_t channel = input_steps(p).channel, each = s.words * SUM_LANES, size = dot_result_size(q);
    char *area = scratch;
    int32_t *const pixels = take(&area, across_vectors(p) * each, sizeof(int32_t));
    int32_t *const window = take(&area, across_vectors(p) * SUM_LANES, sizeof(int32_t));
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct dot_unit u = dot_unit(q, &s, unit);
        const ptrdiff_t vectors = ceil_div(u.cols, SUM_LANES);
        const uint8_t *const x = (const uint8_t *)dot_slice(p, u.n, u.g, 0).x + u.x0;
        /* The last vector may overlap the one before. */
        assert(u.cols >= SUM_LANES);
        for (ptrdiff_t v = 0; v < vectors; v++)
            dot_join(x + FC_MIN(v * SUM_LANES, u.cols - SUM_LANES), channel, p->c, pixels + v * each);
        if (q->flip)
            for (ptrdiff_t i = 0; i < vectors * each; i += SUM_LANES)
                v_store((real *)(pixels + i), v_flip(v_load((const real *)(pixels + i))));
        if (q->weights_zero)
            across_windows(pixels, vectors, p->c, window);
        for (ptrdiff_t k = 0; k < p->k; k += ACROSS_K) {
            const ptrdiff_t lane = k % FC_INTEGER_CHANNELS;
            for (ptrdiff_t v = 0; v < vectors; v += ACROSS_VECTORS) {
                struct across_tile t = {
                    .weight = u.weight + (k - lane) * s.words + lane, .words = s.words, .more = u.more + k,
                    .channels = FC_MIN(ACROSS_K, p->k - k), .channel = u.channel,
                };
                for (ptrdiff_t i = 0; i < ACROSS_VECTORS; i++) {
                    /* Behind the last vector it comes again. */
                    const ptrdiff_t one = FC_MIN(v + i, vectors - 1);
                    t.pixels[i] = pixels + one * each;
                    t.window[i] = window + one * SUM_LANES;
                    t.out[i] = u.out + k * u.channel + FC_MIN(one * SUM_LANES, u.cols - SUM_LANES) * size;
                }
                across_sums(q, &t);
            }
        }
    }
}
