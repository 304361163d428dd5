#define FC_ISA neon
#define FC_BITS 16
#include "../simd/neon.h"

#include "../kernels/all.h"
