#define FC_ISA scalar
#define FC_BITS 32
#include "../simd/scalar.h"

#include "../kernels/all.h"
