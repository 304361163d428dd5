/* Gaussian blur by recursion (recursive_lines.h), in a time per number that does not grow with
 * sigma.
 *
 * The rows of an image are cut into spans, and spans into blocks. Backward states run into a span
 * from some sigma below it, and leave at the end of each block what they are there; forward states
 * run in from above, and on from block to block. A block is filtered down its columns, with columns
 * in the lanes, and then along its rows, with rows in the lanes: these are transposed, long ones in
 * parts that are to a row what blocks are to a span. A thread that begins inside a span lets the
 * states pass all of it that others filter. So the bits follow from spans, blocks and parts, and
 * these from sizes and sigma alone. Bound by the steps and by transposition. */

#define RECURSIVE_PART 2048 /* numbers of a row that are transposed at a time, at most */

/* Some columns and channels of a plane, and where they are computed. */
struct recursive_work {
    const struct fc_filter2d *p;
    ptrdiff_t plane, c0, c, x0, cols;
    ptrdiff_t pitch; /* numbers from one row of the block to the next */
    ptrdiff_t first, count; /* columns of the block: all, or these and what they run in from */
    struct recursive_lines down;
    real *block, *forward, *backward; /* rows, their states, and those at the end of each block */
    real *part, *half, *along;        /* transposed columns, and their states */
};

FC_INLINE ptrdiff_t recursive_count(const struct fc_filter2d *p, ptrdiff_t cols)
{
    return p->block_cols < p->ow ? cols + 2 * p->left : cols;
}
FC_INLINE ptrdiff_t recursive_pitch(const struct fc_filter2d *p)
{
    return odd_lines(recursive_count(p, p->block_cols) * p->block_c);
}
FC_INLINE ptrdiff_t recursive_part(const struct fc_filter2d *p)
{
    return FC_MIN(RECURSIVE_PART / p->block_c, p->block_cols); /* columns */
}
/* Blocks of a span, and of all spans. */
FC_INLINE ptrdiff_t recursive_blocks(const struct fc_filter2d *p)
{
    return ceil_div(p->span_rows, p->block_rows);
}
FC_INLINE ptrdiff_t recursive_all_blocks(const struct fc_filter2d *p)
{
    return p->oh / p->span_rows * recursive_blocks(p) +
           ceil_div(p->oh % p->span_rows, p->block_rows);
}
static ptrdiff_t filter_recursive_units(const void *params)
{
    const struct fc_filter2d *const p = params;
    return p->planes * ceil_div(p->c, p->block_c) * ceil_div(p->ow, p->block_cols) *
           recursive_all_blocks(p);
}

FC_SMALL size_t filter_recursive_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t part = recursive_part(p), parts = ceil_div(p->block_cols, part);
    const ptrdiff_t lanes = p->block_c * RECURSIVE_LANES;
    const ptrdiff_t rows = p->block_rows + 4 * (1 + recursive_blocks(p));
    return taken(rows * recursive_pitch(p), sizeof(real)) +
           taken(FC_MAX(p->block_rows, part) * RECURSIVE_LANES, sizeof(real)) +
           taken((part + 4 * (1 + parts)) * lanes, sizeof(real));
}

/* Row y of the image and what is outside, into a row of the block. */
static void recursive_fetch(const struct recursive_work *w, real *row, ptrdiff_t y)
{
    filter_fetch_channels(w->p, row, w->plane, y, w->first, w->count, w->c0, w->c);
}

/* A row of the block, as row y of the result. */
static void recursive_put(const struct recursive_work *w, const real *row, ptrdiff_t y)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype);
    const ptrdiff_t at = ((w->plane * p->oh + y) * p->ow + w->x0) * p->c + w->c0;
    const ptrdiff_t pixels = w->c == p->c ? w->cols : 1; /* that are neighbours */
    row += (w->x0 - w->first) * w->c;
    for (ptrdiff_t i = 0; i < w->cols; i += pixels)
        store_from_real((char *)p->out + (at + i * p->c) * size, row + i * w->c, p->out_dtype,
                        pixels * w->c);
}

/* Where states run in from that are to see a line from element i on: `reach` away from it, or
 * where the line has become constant. */
FC_INLINE ptrdiff_t recursive_begin(ptrdiff_t i, ptrdiff_t reach, ptrdiff_t n, int border)
{
    const ptrdiff_t begin = i + reach;
    return border == FC_CONSTANT || border == FC_EDGE ? FC_MIN(FC_MAX(begin, -1), n) : begin;
}

/* n columns of some rows of the block, transposed. */
static void recursive_transpose(const struct recursive_work *w, const real *rows, ptrdiff_t count,
                                ptrdiff_t col, ptrdiff_t n)
{
    const ptrdiff_t width = round_up(count, LANES);
    transpose_lines(w->part, width, width, rows + col * w->c, w->pitch, count, n * w->c);
}

/* The column of the block that stands at column x of the image and what is outside; -1: cval. */
FC_INLINE ptrdiff_t recursive_column(const struct recursive_work *w, ptrdiff_t x)
{
    const struct fc_filter2d *const p = w->p;
    return p->block_cols < p->ow ? x - w->first : border_index(x, p->w, p->border_w);
}

/* States along some rows that have passed columns `from` to before `to`; towards is 1, or -1 for
 * backward states. */
static void recursive_run_in_along(const struct recursive_work *w, const struct recursive_lines *l,
                                   real *state, const real *rows, ptrdiff_t count, ptrdiff_t from,
                                   ptrdiff_t to, ptrdiff_t towards)
{
    const ptrdiff_t most = recursive_part(w->p);
    ptrdiff_t col = recursive_column(w, from), n;

    if (col >= 0)
        recursive_transpose(w, rows, count, col, 1);
    else
        for (ptrdiff_t i = 0; i < l->lanes; i++)
            w->part[i] = (real)w->p->cval;
    recursive_rest(l, state, w->part);
    for (from += towards; from != to; from += n * towards) {
        ptrdiff_t step = 0; /* neighbours in the block, in either direction, pass together */
        col = recursive_column(w, from);
        for (n = 1; n < most && from + n * towards != to; n++) {
            const ptrdiff_t further = recursive_column(w, from + n * towards) - col;
            if (n == 1 && (further == 1 || further == -1))
                step = further;
            if (step == 0 || further != n * step)
                break;
        }
        recursive_transpose(w, rows, count, step < 0 ? col - n + 1 : col, n);
        recursive_advance(l, state, w->part + (step < 0 ? n - 1 : 0) * l->lanes, step * l->lanes,
                          n);
    }
}

/* Filter some rows of the block along themselves. */
static void recursive_along(const struct recursive_work *w, real *rows, ptrdiff_t count)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t width = round_up(count, LANES), lanes = width * w->c, size = 4 * lanes;
    const ptrdiff_t part = recursive_part(p), parts = ceil_div(w->cols, part);
    const ptrdiff_t last = w->x0 + w->cols - 1, begin = w->x0 - w->first;
    const struct recursive_lines l = {w->down.section + 2, lanes, lanes};
    real *const forward = w->along, *const backward = forward + size; /* at the end of each part */

    recursive_run_in_along(w, &l, backward + (parts - 1) * size, rows, count,
                           recursive_begin(last, p->left, p->w, p->border_w), last, -1);
    for (ptrdiff_t i = parts - 1; i > 0; i--) {
        const ptrdiff_t n = FC_MIN(part, w->cols - i * part);
        real *const state = backward + (i - 1) * size;
        memcpy(state, state + size, (size_t)size * sizeof(real));
        recursive_transpose(w, rows, count, begin + i * part, n);
        recursive_advance(&l, state, w->part + (n - 1) * lanes, -lanes, n);
    }
    recursive_run_in_along(w, &l, forward, rows, count,
                           recursive_begin(w->x0, -p->left, p->w, p->border_w), w->x0, 1);
    for (ptrdiff_t i = 0; i < parts; i++) {
        const ptrdiff_t n = FC_MIN(part, w->cols - i * part), col = begin + i * part;
        recursive_transpose(w, rows, count, col, n);
        recursive_filter(&l, forward, backward + i * size, w->part, lanes, n, w->half);
        transpose_lines(rows + col * w->c, w->pitch, n * w->c, w->part, width, n * w->c, count);
    }
}

/* States down the columns pass rows `from` to before `to`, a block at a time. */
static void recursive_pass(const struct recursive_work *w, real *state, ptrdiff_t from,
                           ptrdiff_t to, ptrdiff_t towards)
{
    for (ptrdiff_t n; from != to; from += n * towards) {
        n = FC_MIN(w->p->block_rows, (to - from) * towards);
        for (ptrdiff_t i = 0; i < n; i++)
            recursive_fetch(w, w->block + i * w->pitch, towards > 0 ? from + i : from - n + 1 + i);
        recursive_advance(&w->down, state, w->block + (towards > 0 ? 0 : n - 1) * w->pitch,
                          towards * w->pitch, n);
    }
}

static void recursive_run_in_down(const struct recursive_work *w, real *state, ptrdiff_t from,
                                  ptrdiff_t to, ptrdiff_t towards)
{
    recursive_fetch(w, w->block, from);
    recursive_rest(&w->down, state, w->block);
    recursive_pass(w, state, from + towards, to, towards);
}

/* The states of blocks [b0, b1) of a span, rows [y0, y1): forward, before the first of them, and
 * backward, after each. */
static void recursive_states(const struct recursive_work *w, ptrdiff_t y0, ptrdiff_t y1,
                             ptrdiff_t b0, ptrdiff_t b1)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t size = 4 * w->pitch, rows = p->block_rows, last = y1 - 1;
    real *state = w->backward + (b1 - 1 - b0) * size;

    recursive_run_in_down(w, state, recursive_begin(last, p->top, p->h, p->border_h), last, -1);
    for (ptrdiff_t b = ceil_div(y1 - y0, rows) - 1; b > b0; b--) {
        if (b < b1) {
            memcpy(state - size, state, (size_t)size * sizeof(real));
            state -= size;
        }
        recursive_pass(w, state, FC_MIN(y0 + (b + 1) * rows, y1) - 1, y0 + b * rows - 1, -1);
    }
    recursive_run_in_down(w, w->forward, recursive_begin(y0, -p->top, p->h, p->border_h), y0, 1);
    recursive_pass(w, w->forward, y0, y0 + b0 * rows, 1);
}

/* A block of n rows, from y on. */
static void recursive_block(const struct recursive_work *w, const real *backward, ptrdiff_t y,
                            ptrdiff_t n)
{
    const struct fc_filter2d *const p = w->p;
    for (ptrdiff_t i = 0; i < n; i++)
        recursive_fetch(w, w->block + i * w->pitch, y + i);
    if (p->top)
        recursive_filter(&w->down, w->forward, backward, w->block, w->pitch, n, w->half);
    if (p->left)
        for (ptrdiff_t i = 0; i < n; i += RECURSIVE_LANES)
            recursive_along(w, w->block + i * w->pitch, FC_MIN(RECURSIVE_LANES, n - i));
    for (ptrdiff_t i = 0; i < n; i++)
        recursive_put(w, w->block + i * w->pitch, y + i);
}

static void filter_recursive(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t rows = p->block_rows, part = recursive_part(p);
    const ptrdiff_t blocks = recursive_blocks(p), all = recursive_all_blocks(p);
    const ptrdiff_t strips = ceil_div(p->ow, p->block_cols), groups = ceil_div(p->c, p->block_c);
    char *area = scratch;
    struct recursive_work w = {.p = p, .pitch = recursive_pitch(p)};
    w.block = take(&area, (rows + 4 * (1 + blocks)) * w.pitch, sizeof(real));
    w.forward = w.block + rows * w.pitch;
    w.backward = w.forward + 4 * w.pitch;
    w.half = take(&area, FC_MAX(rows, part) * RECURSIVE_LANES, sizeof(real));
    w.part = (real *)area;
    w.along = w.part + part * p->block_c * RECURSIVE_LANES;

    for (ptrdiff_t unit = begin; unit < end;) {
        const ptrdiff_t strip = unit / all, span = unit % all / blocks, b0 = unit % all % blocks;
        const ptrdiff_t y0 = span * p->span_rows, y1 = FC_MIN(y0 + p->span_rows, p->oh);
        const ptrdiff_t b1 = FC_MIN(ceil_div(y1 - y0, rows), b0 + end - unit);
        w.plane = strip / strips / groups;
        w.c0 = strip / strips % groups * p->block_c;
        w.c = FC_MIN(p->block_c, p->c - w.c0);
        w.x0 = strip % strips * p->block_cols;
        w.cols = FC_MIN(p->block_cols, p->ow - w.x0);
        w.count = recursive_count(p, w.cols);
        w.first = w.x0 - (w.count - w.cols) / 2;
        w.down = (struct recursive_lines){p->kernel, round_up(w.count * w.c, LANES), w.pitch};
        if (p->top)
            recursive_states(&w, y0, y1, b0, b1);
        for (ptrdiff_t b = b0; b < b1; b++) {
            const ptrdiff_t y = y0 + b * rows;
            recursive_block(&w, w.backward + (b - b0) * 4 * w.pitch, y, FC_MIN(rows, y1 - y));
        }
        unit += b1 - b0;
    }
}
