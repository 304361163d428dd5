/* What lies outside an image, for any distance from it. */
#ifndef FC_BORDER_H
#define FC_BORDER_H

#include "fastconv.h"
#include "platform.h"

/* The same as border_index() outside of a line that has a border: a function, since it is rarely called
 * and from many places, and static, since callers then know which registers it leaves alone. */
FC_NOINLINE ptrdiff_t border_copied(ptrdiff_t i, ptrdiff_t n, int border)
{
    ptrdiff_t period;
    switch (border) {
    case FC_EDGE:
        return i < 0 ? 0 : n - 1;
    case FC_WRAP:
        i %= n;
        return i < 0 ? i + n : i;
    case FC_REFLECT: /* c b | a b c d | c b */
        if (n == 1)
            return 0;
        period = 2 * (n - 1);
        i = i < 0 ? -i : i;
        i = i < period ? i : i % period; /* divisions are slow, and rarely needed */
        return i < n ? i : period - i;
    case FC_SYMMETRIC: /* b a | a b c d | d c */
        period = 2 * n;
        i = i < 0 ? -1 - i : i;
        i = i < period ? i : i % period;
        return i < n ? i : period - 1 - i;
    default:
        return -1;
    }
}

/* The source index that stands at position i of a line of n > 0 elements, or -1 for the constant. */
FC_INLINE ptrdiff_t border_index(ptrdiff_t i, ptrdiff_t n, int border)
{
    return i >= 0 && i < n ? i : border == FC_CONSTANT ? -1 : border_copied(i, n, border);
}

/* The part [*a, *b) of positions 0..count-1 whose source index first + i lies in [0, n). */
FC_INLINE void border_inside(ptrdiff_t first, ptrdiff_t count, ptrdiff_t n, ptrdiff_t *a,
                             ptrdiff_t *b)
{
    *a = FC_MIN(FC_MAX(-first, 0), count);
    *b = FC_MAX(FC_MIN(n - first, count), *a);
}

#endif
