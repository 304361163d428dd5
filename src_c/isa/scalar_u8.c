#define FC_ISA scalar
#define FC_BITS 8
#include "../simd/scalar.h"

#include "../kernels/all.h"
