/* The products of Winograd's convolution (conv_winograd.h): for each point, transformed tiles by
 * transformed weights, output channels in the lanes.
 *
 * A register tile is a run of WINOGRAD_RUN tiles of the image by CHANNEL_VECTORS vectors of output
 * channels, over all input channels. With 32 registers it holds two sums of each output, that of a
 * part of the channels and that of all parts: half the width of conv_direct_channel.h's tile, but its
 * sums are stored once, not once for each part. (A store costs 1.2 cycles of multiply-adds, as
 * measured on Zen 5: 8 % of parts of 32 channels.) A single vector leaves room for a run of twice as
 * many tiles, which is less bound by its loads: of weights, and of what is fetched. */

#if VEC_REGS == 32
#define WINOGRAD_RUN 7
#define WINOGRAD_RUNS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define WINOGRAD_LONG_RUN 14
#define WINOGRAD_LONG_RUNS(X) X(14)
#else
#if LANES > 1
#define WINOGRAD_RUN 6
#define WINOGRAD_RUNS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define WINOGRAD_RUN 2
#define WINOGRAD_RUNS(X) X(1) X(2)
#endif
#define WINOGRAD_LONG_RUN WINOGRAD_RUN
#define WINOGRAD_LONG_RUNS(X)
#endif

struct winograd_product {
    const real *x, *weight;
    ptrdiff_t tile;           /* elements from one tile of x to the next */
    ptrdiff_t channels, part; /* how many, and how many are summed at a time */
    const real *ahead;        /* fetched for later, so many elements further each channel */
    ptrdiff_t ahead_step;
    real *sums;
};

FC_INLINE void winograd_run_product(const struct winograd_product *t, const int n, const int nv)
{
    vec all[WINOGRAD_LONG_RUN][CHANNEL_VECTORS], acc[WINOGRAD_LONG_RUN][CHANNEL_VECTORS];
    const real *x = t->x, *w = t->weight, *ahead = t->ahead;
    const ptrdiff_t tile = t->tile, ahead_step = t->ahead_step;

    FC_UNROLL for (int i = 0; i < n; i++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            all[i][v] = v_set1(0);
    for (ptrdiff_t rest = t->channels; rest > 0; rest -= t->part) {
        FC_UNROLL for (int i = 0; i < n; i++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[i][v] = v_set1(0);
        for (ptrdiff_t c = FC_MIN(rest, t->part); c > 0; c--, x++, w += nv * LANES) {
            const real *at = x;
            vec weight[CHANNEL_VECTORS];
            FC_PREFETCH_L2(ahead);
            ahead += ahead_step;
            FC_UNROLL for (int v = 0; v < nv; v++) {
                weight[v] = v_load(w + v * LANES);
                FC_KEEP(weight[v]);
            }
            FC_UNROLL for (int i = 0; i < n; i++) {
                /* By threes, as in conv_direct_channel.h. */
                const vec each = v_set1(at[i % 3 * tile]);
                if (i % 3 == 2)
                    at += 3 * tile;
                FC_UNROLL for (int v = 0; v < nv; v++)
                    acc[i][v] = v_fma(each, weight[v], acc[i][v]);
            }
        }
        FC_UNROLL for (int i = 0; i < n; i++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                all[i][v] = v_add(all[i][v], acc[i][v]);
    }
    FC_UNROLL for (int i = 0; i < n; i++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            v_store(t->sums + (i * nv + v) * LANES, all[i][v]);
}

#define WINOGRAD_LONG_RUN_FUNCTION(n)                                                              \
    static void winograd_run_1_##n(const struct winograd_product *t) { winograd_run_product(t, n, 1); }
#define WINOGRAD_RUN_FUNCTIONS(n)                                                                  \
    WINOGRAD_LONG_RUN_FUNCTION(n)                                                                  \
    static void winograd_run_2_##n(const struct winograd_product *t) { winograd_run_product(t, n, 2); }
WINOGRAD_RUNS(WINOGRAD_RUN_FUNCTIONS)
WINOGRAD_LONG_RUNS(WINOGRAD_LONG_RUN_FUNCTION)

static void (*const winograd_runs[WINOGRAD_LONG_RUN][CHANNEL_VECTORS])(
    const struct winograd_product *) = {
#define WINOGRAD_RUN_ROW(n) {winograd_run_1_##n, winograd_run_2_##n},
    WINOGRAD_RUNS(WINOGRAD_RUN_ROW)
#define WINOGRAD_LONG_RUN_ROW(n) [n - 1] = {winograd_run_1_##n},
    WINOGRAD_LONG_RUNS(WINOGRAD_LONG_RUN_ROW)
};

/* The matrix product of each plane for one tile of output channels. */
static void winograd_products(const struct winograd_unit *u, const struct winograd_scratch *s,
                              const real *weight, int nv, int scheme)
{
    const struct winograd_block *const b = &u->block;
    const ptrdiff_t c = u->p->c, width = nv * LANES;
    const int single = nv == 1 && WINOGRAD_LONG_RUN > WINOGRAD_RUN;
    const ptrdiff_t in_long = single ? b->tiles - b->tiles % WINOGRAD_LONG_RUN : 0;
    const ptrdiff_t rest = b->tiles - in_long, short_runs = ceil_div(rest, WINOGRAD_RUN);
    const ptrdiff_t runs = in_long / WINOGRAD_LONG_RUN + short_runs;
    const ptrdiff_t run = ceil_div(rest, FC_MAX(1, short_runs));
    /* What all runs together fetch is the next point's weights. */
    struct winograd_product t = {.tile = b->tile,
                                 .part = winograd_part(winograd_phases(scheme) * c, scheme),
                                 .ahead_step = ceil_div(width, runs)};

    for (ptrdiff_t point = 0; point < winograd_points(scheme); point++) {
        const ptrdiff_t first = winograd_first_phase(point, scheme) * c;
        t.channels = winograd_end_phase(point, scheme) * c - first;
        t.weight = weight;
        t.ahead = weight += winograd_point(t.channels, width);
        for (ptrdiff_t at = 0, n; at < b->tiles; at += n) {
            n = at < in_long ? WINOGRAD_LONG_RUN : FC_MIN(run, b->tiles - at);
            t.x = s->input + point * b->input + first + at * b->tile;
            t.sums = s->product + point * b->product + at * width;
            winograd_runs[n - 1][nv - 1](&t);
            t.ahead += t.channels * t.ahead_step;
        }
    }
}
