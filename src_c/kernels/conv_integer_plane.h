/* Convolution of bytes in NCHW where each channel is a plane for itself, with pixels in the lanes, for
 * processors with VNNI.
 *
 * A unit is some rows of a plane's outputs, whose input is copied with its padding (conv_integer_input.h).
 * Neighbouring outputs see, of a row of taps, words of 4 neighbouring bytes that begin a stride apart: a
 * load and two permutations spread them over the lanes, and nothing is turned around. A tile is PLANE_ROWS
 * rows of two vectors of outputs: each row of the input is spread once for all of them, and meets
 * weights of 0 where an output row does not see it.
 * Weights and what goes with them are packed as for conv_integer.h, whose arithmetic this is.
 *
 * Bound by arithmetic: of 3x3 6 x (4 + 8) instructions for the sums of a tile, and 4 x 12 for their bytes. */

#define PLANE_ROWS 4
#define PLANE_VECTORS 2
enum { PLANE_STRIDE = 4, PLANE_TAPS = 8 }; /* at most: a quarter of a vector has the words of 4 outputs */
enum { PLANE_MARGIN = (PLANE_ROWS - 1) * PLANE_STRIDE, PLANE_LINES = PLANE_TAPS + 2 * PLANE_MARGIN };

struct plane_tile {
    const struct fc_conv_integer *q;
    const uint8_t *x; /* what the first output sees first */
    char *out;
    ptrdiff_t row, stride, words; /* bytes from row to row of x; rows to the next outputs; of a tap row */
    sum places, within, start, scale;
    int32_t weight[PLANE_TAPS / 4][PLANE_LINES]; /* with zeros around */
};

/* The sums of `rows` rows of outputs, the vectors of which begin at the columns `first`. */
FC_VNNI FC_INLINE void plane_sums(const struct plane_tile *t, const ptrdiff_t *first, sum (*acc)[PLANE_VECTORS],
                                  const int rows)
{
    const struct fc_conv2d *const p = &t->q->conv;
    const ptrdiff_t stride = t->stride, lines = (rows - 1) * stride + p->kh;
    FC_UNROLL for (int i = 0; i < rows; i++)
        FC_UNROLL for (int v = 0; v < PLANE_VECTORS; v++)
            acc[i][v] = t->start;
    for (ptrdiff_t w = 0; w < t->words; w++) {
        const uint8_t *x[] = {t->x + 4 * w + first[0] * p->stride_w, t->x + 4 * w + first[1] * p->stride_w};
        const int32_t *weight = t->weight[w] + PLANE_MARGIN;
        for (ptrdiff_t line = 0; line < lines; line++, weight++) {
            sum word[PLANE_VECTORS];
            FC_UNROLL for (int v = 0; v < PLANE_VECTORS; v++, x[v - 1] += t->row)
                word[v] = sum_spread_8(x[v], t->places, t->within);
            FC_UNROLL for (int i = 0; i < rows; i++)
                FC_UNROLL for (int v = 0; v < PLANE_VECTORS; v++)
                    acc[i][v] = sum_dot4(acc[i][v], word[v], sum_set1(weight[-i * stride]));
        }
    }
}

/* Sums of neighbouring outputs as results. */
FC_INLINE void plane_store(const struct fc_conv_integer *q, sum scale, sum y, char *out)
{
    if (q->result == FC_SUM_TO_BYTE)
        sum_store_8((uint8_t *)out, sum_add(sum_round(y, scale, (float)q->conv.low, (float)q->conv.high),
                                            sum_set1(q->zero)));
    else
        sum_store((int32_t *)(void *)out, q->result == FC_SUM_TO_FLOAT ? sum_real(y, scale) : y);
}

/* Rows of outputs, two vectors at a time. The last ones may overlap those before. */
FC_VNNI FC_INLINE void plane_rows(const struct plane_tile *t, const int rows)
{
    const struct fc_conv_integer *const q = t->q;
    const ptrdiff_t cols = q->conv.ow, size = dot_result_size(q);
    const float high = (float)q->conv.high;
    const int32_t low = (int32_t)q->conv.low, zero = q->zero;
    sum acc[PLANE_ROWS][PLANE_VECTORS];
    for (ptrdiff_t x = 0; x < cols; x += 2 * SUM_LANES) {
        const ptrdiff_t at = FC_MAX(0, FC_MIN(x, cols - 2 * SUM_LANES));
        const ptrdiff_t first[] = {at, FC_MIN(at + SUM_LANES, cols - SUM_LANES)};
        const int pair = q->result == FC_SUM_TO_BYTE && first[1] == at + SUM_LANES;
        char *out = t->out;
        plane_sums(t, first, acc, rows);
        FC_UNROLL for (int i = 0; i < rows; i++, out += cols * size)
            if (pair)
                sum_store_pair_8((uint8_t *)out + at, sum_below(acc[i][0], t->scale, high),
                                 sum_below(acc[i][1], t->scale, high), low, zero);
            else
                FC_UNROLL for (int v = 0; v < PLANE_VECTORS; v++)
                    plane_store(q, t->scale, acc[i][v], out + first[v] * size);
    }
}
FC_VNNI FC_NOINLINE void plane_some_rows(const struct plane_tile *t) { plane_rows(t, PLANE_ROWS); }
FC_VNNI FC_NOINLINE void plane_one_row(const struct plane_tile *t) { plane_rows(t, 1); }

/* What a unit sees, with its padding. */
static void plane_fill(const struct fc_conv_integer *q, const struct dot_sizes *s, const struct dot_unit *u,
                       uint8_t *area)
{
    const struct fc_conv2d *const p = &q->conv;
    const uint8_t *const x = (const uint8_t *)dot_slice(p, u->n, u->g, 0).x;
    const ptrdiff_t top = u->y0 * p->stride_h - p->top, cols = FC_MIN(p->w, s->cols - p->left);
    memset(area, q->x_zero, (size_t)(s->rows * s->cols));
    for (ptrdiff_t i = 0; i < s->rows; i++) {
        const ptrdiff_t y = top + i * s->step;
        uint8_t *const to = area + i * s->cols + p->left;
        ptrdiff_t j = 0;
        if (y < 0 || y >= p->h)
            continue;
        for (; j + LANES <= cols; j += LANES)
            v_store(to + j, v_load(x + y * p->w + j));
        if (j < cols)
            v_store_n(to + j, v_load_n(x + y * p->w + j, cols - j), cols - j);
    }
    for (ptrdiff_t i = 0; q->flip && i < s->rows * s->cols; i += LANES)
        v_store(area + i, v_flip(v_load(area + i)));
}

FC_SMALL size_t conv_integer_plane_scratch(const void *params) { return dot_scratch_bytes(params, 4); }

static void conv_integer_plane(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv_integer *const q = params;
    const struct fc_conv2d *const p = &q->conv;
    const struct dot_sizes s = dot_sizes(q, 4);
    const struct dot_scratch area = dot_scratch(q, &s, scratch);
    int32_t places[SUM_LANES];
    uint8_t within[4 * SUM_LANES];
    struct plane_tile t = {.q = q, .row = s.row, .stride = s.stride, .words = s.words};
    assert(p->c == 1 && p->k == 1 && p->block_cols == p->ow && p->ow >= SUM_LANES);
    assert(!q->weights_zero && p->dilation_h == 1 && p->dilation_w == 1);
    assert(FC_MAX(p->stride_h, p->stride_w) <= PLANE_STRIDE && FC_MAX(p->kh, p->kw) <= PLANE_TAPS);
    for (int i = 0; i < SUM_LANES; i++) {
        places[i] = (int32_t)(i / 4 * p->stride_w) + i % 4;
        for (int j = 0; j < 4; j++)
            within[4 * i + j] = (uint8_t)(i % 4 * p->stride_w + j);
    }
    t.places = sum_load(places);
    t.within = sum_load((const int32_t *)(const void *)within);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct dot_unit u = dot_unit(q, &s, unit);
        plane_fill(q, &s, &u, area.area);
        t.start = sum_set1(*dot_row(p, u.more, DOT_START));
        t.scale = sum_set1(*dot_row(p, u.more, DOT_SCALE));
        for (ptrdiff_t w = 0; w < s.words; w++)
            for (ptrdiff_t r = 0; r < p->kh; r++)
                t.weight[w][PLANE_MARGIN + r] = u.weight[(r * s.words + w) * FC_INTEGER_CHANNELS];
        for (ptrdiff_t y = 0, n; y < u.rows; y += n) {
            n = u.rows < PLANE_ROWS ? 1 : PLANE_ROWS;
            /* The last rows may be among those before, too. */
            const ptrdiff_t from = FC_MIN(y, u.rows - n);
            t.x = area.area + from * s.stride * s.row;
            t.out = u.out + from * u.cols * u.pixel;
            (n == 1 ? plane_one_row : plane_some_rows)(&t);
        }
    }
}
