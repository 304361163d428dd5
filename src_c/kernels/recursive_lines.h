/* Deriche's recursive Gaussian of fourth order ("Recursively implementing the Gaussian and its
 * derivatives", INRIA report 1893, 1993), of lines of numbers side by side in the lanes.
 *
 * Either half of the Gaussian is, about, the sum of two damped oscillations. A section makes one of
 * them, from its last value and slope: forward sections see the numbers up to a place, backward
 * ones those after it, and a result is the sum of all four. */

/* Vectors at a time: chains of steps that hide each other's latency. */
#if VEC_REGS == 32
#define RECURSIVE_VECTORS 4
#else
#define RECURSIVE_VECTORS 2
#endif
#define RECURSIVE_LANES (RECURSIVE_VECTORS * LANES)
#define RECURSIVE_FADE 64 /* steps from one look at what has faded away to the next */

/* An oscillation. A step is slope = damping * slope - stiffness * value + x, then value += slope:
 * unlike two values in a row, these stay exact however slowly they change. A place gets both, by
 * these weights, from the forward state that has just passed it and from the backward state that
 * is about to. Numbers that always were x have the value rest * x. */
struct recursive_section {
    real minus_stiffness, damping;
    real forward_value, forward_slope, backward_value, backward_slope;
    real rest;
};

struct recursive_state {
    vec value[2][RECURSIVE_VECTORS], slope[2][RECURSIVE_VECTORS];
};

/* `lanes` lines side by side, in whole vectors. In memory, states are four rows `pitch` apart:
 * value and slope of the first section, then of the second. */
struct recursive_lines {
    const struct recursive_section *section;
    ptrdiff_t lanes, pitch;
};

FC_INLINE struct recursive_state recursive_load(const real *row, ptrdiff_t pitch, const int vectors)
{
    struct recursive_state s;
    FC_UNROLL for (int k = 0; k < 2; k++)
        FC_UNROLL for (int v = 0; v < vectors; v++) {
            s.value[k][v] = v_load(row + 2 * k * pitch + v * LANES);
            s.slope[k][v] = v_load(row + (2 * k + 1) * pitch + v * LANES);
        }
    return s;
}

FC_INLINE void recursive_store(real *row, ptrdiff_t pitch, const struct recursive_state *s,
                               const int vectors)
{
    FC_UNROLL for (int k = 0; k < 2; k++)
        FC_UNROLL for (int v = 0; v < vectors; v++) {
            v_store(row + 2 * k * pitch + v * LANES, s->value[k][v]);
            v_store(row + (2 * k + 1) * pitch + v * LANES, s->slope[k][v]);
        }
}

/* What fades away is 0 before it is a subnormal number: many processors are slow with those, and
 * rounding would not let them fade any more. */
FC_INLINE vec recursive_faded(vec x)
{
    return v_if_less(v_abs(x), v_set1((real)0x1p-100), v_set1(0), x);
}

/* Step i of many. */
FC_INLINE void recursive_step(struct recursive_state *s, const struct recursive_section *section,
                              const real *x, ptrdiff_t i, const int vectors)
{
    FC_UNROLL for (int v = 0; v < vectors; v++) {
        const vec number = v_load(x + v * LANES);
        FC_UNROLL for (int k = 0; k < 2; k++) {
            const vec pushed = v_fma(v_set1(section[k].damping), s->slope[k][v], number);
            s->slope[k][v] = v_fma(v_set1(section[k].minus_stiffness), s->value[k][v], pushed);
            s->value[k][v] = v_add(s->value[k][v], s->slope[k][v]);
        }
    }
    if (i % RECURSIVE_FADE == 0)
        FC_UNROLL for (int k = 0; k < 2; k++)
            FC_UNROLL for (int v = 0; v < vectors; v++) {
                s->value[k][v] = recursive_faded(s->value[k][v]);
                s->slope[k][v] = recursive_faded(s->slope[k][v]);
            }
}

FC_INLINE void recursive_advance_of(const struct recursive_section *section, real *state,
                                    ptrdiff_t pitch, const real *x, ptrdiff_t step, ptrdiff_t n,
                                    const int vectors)
{
    struct recursive_state s = recursive_load(state, pitch, vectors);
    for (ptrdiff_t i = 0; i < n; i++)
        recursive_step(&s, section, x + i * step, i, vectors);
    recursive_store(state, pitch, &s, vectors);
}

FC_INLINE void recursive_filter_of(const struct recursive_section *section, real *forward,
                                   const real *backward, ptrdiff_t pitch, real *x, ptrdiff_t step,
                                   ptrdiff_t n, real *half, const int vectors)
{
    const ptrdiff_t width = vectors * LANES;
    struct recursive_state s = recursive_load(forward, pitch, vectors);
    for (ptrdiff_t i = 0; i < n; i++) {
        recursive_step(&s, section, x + i * step, i, vectors);
        FC_UNROLL for (int v = 0; v < vectors; v++) {
            vec sum = v_mul(v_set1(section[0].forward_value), s.value[0][v]);
            sum = v_fma(v_set1(section[0].forward_slope), s.slope[0][v], sum);
            sum = v_fma(v_set1(section[1].forward_value), s.value[1][v], sum);
            sum = v_fma(v_set1(section[1].forward_slope), s.slope[1][v], sum);
            v_store(half + i * width + v * LANES, sum);
        }
    }
    recursive_store(forward, pitch, &s, vectors);
    s = recursive_load(backward, pitch, vectors);
    for (ptrdiff_t i = n - 1; i >= 0; i--) {
        vec sum[RECURSIVE_VECTORS];
        FC_UNROLL for (int v = 0; v < vectors; v++) {
            sum[v] = v_load(half + i * width + v * LANES);
            sum[v] = v_fma(v_set1(section[0].backward_value), s.value[0][v], sum[v]);
            sum[v] = v_fma(v_set1(section[0].backward_slope), s.slope[0][v], sum[v]);
            sum[v] = v_fma(v_set1(section[1].backward_value), s.value[1][v], sum[v]);
            sum[v] = v_fma(v_set1(section[1].backward_slope), s.slope[1][v], sum[v]);
        }
        recursive_step(&s, section, x + i * step, i, vectors);
        FC_UNROLL for (int v = 0; v < vectors; v++)
            v_store(x + i * step + v * LANES, sum[v]);
    }
}

/* The states of lines whose numbers always were x. */
static void recursive_rest(const struct recursive_lines *l, real *state, const real *x)
{
    for (ptrdiff_t i = 0; i < l->lanes; i += LANES)
        for (int k = 0; k < 2; k++) {
            v_store(state + 2 * k * l->pitch + i,
                    v_mul(v_load(x + i), v_set1(l->section[k].rest)));
            v_store(state + (2 * k + 1) * l->pitch + i, v_set1(0));
        }
}

/* States pass n numbers, which are `step` apart. */
static void recursive_advance(const struct recursive_lines *l, real *state, const real *x,
                              ptrdiff_t step, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + RECURSIVE_LANES <= l->lanes; i += RECURSIVE_LANES)
        recursive_advance_of(l->section, state + i, l->pitch, x + i, step, n, RECURSIVE_VECTORS);
    for (; i < l->lanes; i += LANES)
        recursive_advance_of(l->section, state + i, l->pitch, x + i, step, n, 1);
}

/* Replace n numbers, which are `step` apart, by what they are filtered. Forward states pass them,
 * backward states are those behind them, and `half` has room for n * RECURSIVE_LANES. */
static void recursive_filter(const struct recursive_lines *l, real *forward, const real *backward,
                             real *x, ptrdiff_t step, ptrdiff_t n, real *half)
{
    ptrdiff_t i = 0;
    for (; i + RECURSIVE_LANES <= l->lanes; i += RECURSIVE_LANES)
        recursive_filter_of(l->section, forward + i, backward + i, l->pitch, x + i, step, n, half,
                            RECURSIVE_VECTORS);
    for (; i < l->lanes; i += LANES)
        recursive_filter_of(l->section, forward + i, backward + i, l->pitch, x + i, step, n, half,
                            1);
}
