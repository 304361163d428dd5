#define FC_ISA scalar
#define FC_BITS 64
#include "../simd/scalar.h"

#include "../kernels/all.h"
