/* Correlation with a kernel that is a column times a row, fused: each source row is correlated along
 * the row once, as it enters the ring, and the ring down its columns. kh + kw multiply-adds per
 * number; nothing of the image's size is stored between the two. */

FC_SMALL size_t filter_separable_scratch(const void *params) { return filter_scratch(params, 1); }

static void filter_separable(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    filter_run(params, begin, end, scratch, 1);
}
