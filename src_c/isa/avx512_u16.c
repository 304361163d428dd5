#define FC_ISA avx512
#define FC_BITS 16
#include "../simd/avx512.h"

#include "../kernels/all.h"
