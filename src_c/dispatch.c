/* THE list of instruction sets, best first. */
#include <string.h>

#include "fastconv.h"
#include "platform.h"

static int always(void) { return 1; }

#define VARIANTS(isa) \
    extern const struct fc_kernels fc_kernels_##isa##_8, fc_kernels_##isa##_32, fc_kernels_##isa##_64;
VARIANTS(scalar)
#ifdef FC_X86
VARIANTS(avx2)
VARIANTS(avx512)
#endif
#ifdef FC_ARM64
VARIANTS(neon)
#endif

#define ROW(isa, supported) \
    {#isa, supported, {&fc_kernels_##isa##_8, &fc_kernels_##isa##_32, &fc_kernels_##isa##_64}}
static const struct {
    const char *isa;
    int (*supported)(void);
    const struct fc_kernels *kernels[3];
} variants[] = {
#ifdef FC_X86
    ROW(avx512, fc_cpu_has_avx512),
    ROW(avx2, fc_cpu_has_avx2),
#endif
#ifdef FC_ARM64
    ROW(neon, always),
#endif
    ROW(scalar, always),
};
enum { VARIANT_COUNT = sizeof variants / sizeof *variants };

const char *fc_isa_name(int index)
{
    for (int i = 0; i < VARIANT_COUNT; i++)
        if (variants[i].supported() && index-- == 0)
            return variants[i].isa;
    return NULL;
}

const struct fc_kernels *fc_find_kernels(const char *isa, int bits)
{
    for (int i = 0; i < VARIANT_COUNT; i++)
        if (variants[i].supported() && strcmp(variants[i].isa, isa) == 0)
            for (int j = 0; j < 3; j++)
                if (variants[i].kernels[j]->bits == bits)
                    return variants[i].kernels[j];
    return NULL;
}
