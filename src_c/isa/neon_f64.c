#define FC_ISA neon
#define FC_BITS 64
#include "../simd/neon.h"

#include "../kernels/all.h"
