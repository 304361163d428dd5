/* float16 (IEEE binary16, as its bits) in portable C: what scalar.h defines its loads and stores
 * by. It rounds doubles on every ISA: vectors of them become float16 by way of floats, which would
 * be a second rounding. As in hardware, a NaN becomes quiet and keeps its sign and the upper bits
 * of its payload, and no mode of the processor that takes subnormals for zeros is felt. */
#ifndef FC_HALF_H
#define FC_HALF_H

#include <string.h>

#include "../platform.h"

#if FC_BITS == 32
typedef uint32_t real_bits;
enum { REAL_FRACTION = 23, REAL_BIAS = 127 };
#else
typedef uint64_t real_bits;
enum { REAL_FRACTION = 52, REAL_BIAS = 1023 };
#endif
enum {
    HALF_FRACTION = 10,
    HALF_BIAS = 15,
    HALF_INFINITY = 0x7c00,
    HALF_QUIET_NAN = 0x7e00,
    HALF_LOST = REAL_FRACTION - HALF_FRACTION, /* bits of a fraction that a half has no room for */
    HALF_REBIAS = REAL_BIAS - HALF_BIAS,
};
#define REAL_INFINITY ((real_bits)(2 * REAL_BIAS + 1) << REAL_FRACTION)

FC_INLINE real real_from_half(uint16_t half)
{
    const real_bits magnitude = half & 0x7fff;
    real_bits bits;
    real x;
    if (magnitude < 1 << HALF_FRACTION) { /* subnormal: as many times 2**-24 */
        x = (real)(int)magnitude * 0x1p-24f;
        memcpy(&bits, &x, sizeof bits);
    } else {
        bits = (magnitude << HALF_LOST) + ((real_bits)HALF_REBIAS << REAL_FRACTION);
        if (magnitude > HALF_INFINITY)
            bits |= (real_bits)HALF_QUIET_NAN << HALF_LOST;
        if (magnitude >= HALF_INFINITY)
            bits |= REAL_INFINITY;
    }
    bits |= (real_bits)(half >> 15) << (FC_BITS - 1);
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Rounded once, half to even. */
FC_INLINE uint16_t half_from_real(real x)
{
    real_bits bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> (FC_BITS - 16) & 0x8000);
    bits &= ~(real_bits)0 >> 1;
    if (bits > REAL_INFINITY)
        return (uint16_t)(sign | HALF_QUIET_NAN | (bits >> HALF_LOST & 0x1ff));

    const int exponent = (int)(bits >> REAL_FRACTION) - HALF_REBIAS;
    int lost = HALF_LOST;
    if (exponent < 1) { /* subnormal: the leading one is written out, and more bits get lost */
        const real_bits one = (real_bits)1 << REAL_FRACTION;
        lost = FC_MIN(lost + 1 - exponent, REAL_FRACTION + 2); /* from there on all of them */
        bits = (bits & (one - 1)) | one;
    } else {
        bits -= (real_bits)HALF_REBIAS << REAL_FRACTION;
    }
    /* Rounding up may carry into the exponent: what comes after the fraction of ones. */
    bits = (bits + ((real_bits)1 << (lost - 1)) - 1 + (bits >> lost & 1)) >> lost;
    return (uint16_t)(sign | FC_MIN(bits, HALF_INFINITY));
}

#endif
