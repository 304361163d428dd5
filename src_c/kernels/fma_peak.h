/* The ceiling of every kernel here, for the benchmark to compare with: multiply-adds on registers
 * alone. FC_PEAK_CHAINS independent chains are more than latency (4) times throughput (2). */

static ptrdiff_t fma_peak_units(const void *params)
{
    return ((const struct fc_fma_peak *)params)->units;
}

FC_SMALL size_t fma_peak_scratch(const void *params)
{
    (void)params;
    return FC_PEAK_CHAINS * sizeof(vec);
}

static void fma_peak(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_fma_peak *const p = params;
    const vec scale = v_set1((real)p->scale);
    real *const sums = scratch;
    vec acc[FC_PEAK_CHAINS];
    FC_UNROLL for (int i = 0; i < FC_PEAK_CHAINS; i++)
        acc[i] = v_set1((real)i);
    for (ptrdiff_t unit = begin; unit < end; unit++)
        for (int step = 0; step < FC_PEAK_STEPS; step++)
            FC_UNROLL for (int i = 0; i < FC_PEAK_CHAINS; i++)
                acc[i] = v_fma(acc[i], scale, scale);
    FC_UNROLL for (int i = 0; i < FC_PEAK_CHAINS; i++)
        v_store(sums + i * LANES, acc[i]);
}
