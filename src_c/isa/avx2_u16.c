#define FC_ISA avx2
#define FC_BITS 16
#include "../simd/avx2.h"

#include "../kernels/all.h"
