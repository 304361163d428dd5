/* The element types of callers. */
#ifndef FC_DTYPE_H
#define FC_DTYPE_H

#include <stddef.h>

#include "fastconv.h"
#include "platform.h"

FC_INLINE size_t dtype_size(int dtype)
{
    switch (dtype) {
    case FC_UINT8: return 1;
    case FC_UINT16:
    case FC_INT16:
    case FC_FLOAT16: return 2;
    case FC_FLOAT32: return 4;
    default: return 8;
    }
}

#endif
