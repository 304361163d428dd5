#define FC_ISA scalar
#define FC_BITS 16
#include "../simd/scalar.h"

#include "../kernels/all.h"
