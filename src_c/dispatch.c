/* THE list of instruction sets, best first. Where one has no variant of a type, the next one's is
 * taken: the bits are the same. AVX-512 has none of double: it would be an eighth of the module. */
#include <string.h>

#include "fastconv.h"
#include "platform.h"

static int always(void) { return 1; }

#define VARIANTS(isa) \
    extern const struct fc_kernels fc_kernels_##isa##_8, fc_kernels_##isa##_16, \
        fc_kernels_##isa##_32, fc_kernels_##isa##_64;
VARIANTS(scalar)
#ifdef FC_X86
VARIANTS(avx2)
extern const struct fc_kernels fc_kernels_avx512_8, fc_kernels_avx512_16, fc_kernels_avx512_32;
#endif
#ifdef FC_ARM64
VARIANTS(neon)
#endif

enum { ELEMENT_TYPES = 4 };
#define ROW(isa, supported) \
    {#isa, supported, {&fc_kernels_##isa##_8, &fc_kernels_##isa##_16, &fc_kernels_##isa##_32, \
                       &fc_kernels_##isa##_64}}
static const struct {
    const char *isa;
    int (*supported)(void);
    const struct fc_kernels *kernels[ELEMENT_TYPES];
} variants[] = {
#ifdef FC_X86
    {"avx512",
     fc_cpu_has_avx512,
     {&fc_kernels_avx512_8, &fc_kernels_avx512_16, &fc_kernels_avx512_32}},
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
    int found = 0;
    for (int i = 0; i < VARIANT_COUNT; i++) {
        found |= strcmp(variants[i].isa, isa) == 0;
        for (int j = 0; j < ELEMENT_TYPES && found && variants[i].kernels[j]; j++)
            if (variants[i].kernels[j]->bits == bits)
                return variants[i].kernels[j];
    }
    return NULL;
}
