/* The histogram of 256 levels in a window that moves along a row, in a time that does not grow with
 * the window (Perreault and Hebert, 2007). Each column keeps the histogram of its pixels in the
 * window's rows; the window's is the sum of k of those, and moves by adding one and taking one away.
 * Levels stand in groups. How many pixels are in each group is known for every window; the levels of
 * a group are summed when a rank falls into it. Counts are of all that is below, so that comparing 16
 * of them at once finds the place of a rank. */

#define LEVEL_GROUP 16 /* levels of a group, and groups */
#define LEVELS (LEVEL_GROUP * LEVEL_GROUP)

/* [i]: the pixels below the i-th of 16 groups, or those of one group below the i-th of its levels.
 * Windows have less than 2**16 pixels. */
typedef uint16_t level_counts[LEVEL_GROUP];

struct levels {
    ptrdiff_t columns, k;
    level_counts *group, *level; /* of each column; level: for one group after the other */
    level_counts group_sum;      /* of the window */
    level_counts level_sum[LEVEL_GROUP]; /* of the window that begins at column at[group] */
    ptrdiff_t at[LEVEL_GROUP];
};

FC_SMALL size_t levels_scratch(ptrdiff_t columns)
{
    return taken((1 + LEVEL_GROUP) * columns, sizeof(level_counts));
}

/* Empty histograms of so many columns, in a scratch area, and windows of k columns. */
static void levels_clear(struct levels *h, void *scratch, ptrdiff_t columns, ptrdiff_t k)
{
    h->columns = columns;
    h->k = k;
    h->group = scratch;
    h->level = h->group + columns;
    memset(scratch, 0, levels_scratch(columns));
}

/* Count a pixel of a column, or with -1 take it away. */
FC_INLINE void levels_count(struct levels *h, ptrdiff_t column, ptrdiff_t level, int by)
{
    const int group = (int)level / LEVEL_GROUP, place = (int)level % LEVEL_GROUP;
    uint16_t *const groups = h->group[column];
    uint16_t *const levels = h->level[group * h->columns + column];
    for (int i = 0; i < LEVEL_GROUP; i++)
        groups[i] = (uint16_t)(groups[i] + (group < i ? by : 0));
    for (int i = 0; i < LEVEL_GROUP; i++)
        levels[i] = (uint16_t)(levels[i] + (place < i ? by : 0));
}

FC_INLINE void levels_add(uint16_t *restrict sum, const uint16_t *in)
{
    for (int i = 0; i < LEVEL_GROUP; i++)
        sum[i] = (uint16_t)(sum[i] + in[i]);
}

FC_INLINE void levels_move(uint16_t *restrict sum, const uint16_t *in, const uint16_t *out)
{
    for (int i = 0; i < LEVEL_GROUP; i++)
        sum[i] = (uint16_t)(sum[i] + in[i] - out[i]);
}

/* The first window of a row. */
static void levels_first(struct levels *h)
{
    memset(h->group_sum, 0, sizeof h->group_sum);
    for (ptrdiff_t i = 0; i < h->k; i++)
        levels_add(h->group_sum, h->group[i]);
    for (int i = 0; i < LEVEL_GROUP; i++)
        h->at[i] = -h->k; /* too far away to be of use */
}

/* The window that begins at column x, after the one before it. */
FC_INLINE void levels_next(struct levels *h, ptrdiff_t x)
{
    levels_move(h->group_sum, h->group[x + h->k - 1], h->group[x - 1]);
}

/* How many bits are set in each byte of x and those below it; in the highest byte, in all of x. */
FC_INLINE uint64_t bit_sums(uint64_t x)
{
    const uint64_t ones = UINT64_MAX / 0xff;
    x -= x >> 1 & (0x55 * ones);
    x = (x & (0x33 * ones)) + (x >> 2 & (0x33 * ones));
    return ((x + (x >> 4)) & (0x0f * ones)) * ones;
}

/* How many of 16 counts, which grow, are at most `most`. */
FC_INLINE int levels_reached(const uint16_t *counts, ptrdiff_t most)
{
    return (int)(bit_sums(within_16(counts, 0, (uint16_t)(most + 1))) >> 56);
}

/* The level of the pixel of a rank in the window that begins at column x. What is left of the rank is
 * the one among the pixels of that level. */
FC_INLINE ptrdiff_t levels_find(struct levels *h, ptrdiff_t x, ptrdiff_t *rank)
{
    const int group = levels_reached(h->group_sum, *rank) - 1;
    const level_counts *const column = (const level_counts *)h->level + group * h->columns;
    uint16_t *const sum = h->level_sum[group];
    ptrdiff_t at = h->at[group];
    *rank -= h->group_sum[group];
    if (x - at > h->k / 2) {
        memset(sum, 0, sizeof(level_counts));
        for (ptrdiff_t i = x; i < x + h->k; i++)
            levels_add(sum, column[i]);
    } else {
        for (; at < x; at++)
            levels_move(sum, column[at + h->k], column[at]);
    }
    h->at[group] = x;
    const int place = levels_reached(sum, *rank) - 1;
    *rank -= sum[place];
    return group * LEVEL_GROUP + place;
}
