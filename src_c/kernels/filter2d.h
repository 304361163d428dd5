/* Correlation of images with a dense kernel, or with each kernel of a bank, in one pass over the
 * source. Bound by memory for 3x3, by arithmetic from about 5x5: a tall tile does FILTER_ROWS *
 * FILTER_VECTORS multiply-adds per FILTER_VECTORS loads and FILTER_ROWS broadcasts. */

FC_SMALL size_t filter2d_scratch(const void *params) { return filter_scratch(params, 0); }

static void filter2d(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    filter_run(params, begin, end, scratch, 0);
}
