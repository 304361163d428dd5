"""Every operation again in plain NumPy and float64: the specification.

Tests, the benchmark and the documentation compare fastconv with these functions. They are
written to be read as definitions: one loop over the kernel's elements ("taps"), each of which
sees a shifted and strided view of the padded input. They share no code with the rest of the
package, do not check their arguments, and are slow. Floating results are float64 whatever the
input; integer results are exact sums, rounded half to even and saturated.
"""

from fastconv.reference import convolution, filters, pooling
from fastconv.reference._windows import pad
from fastconv.reference.convolution import *  # noqa: F403
from fastconv.reference.filters import *  # noqa: F403
from fastconv.reference.pooling import *  # noqa: F403

__all__ = ["pad"]
__all__ += convolution.__all__
__all__ += filters.__all__
__all__ += pooling.__all__
