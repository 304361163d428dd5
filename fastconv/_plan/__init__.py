"""How shall it be computed? Algorithm, blocks and threads: every heuristic of the project.

A plan is a pure function of the geometry, the variant, the number of threads and the size of this
processor's L2 cache, and cached. The algorithm and the order of every sum follow from the geometry
of one sample alone; blocks and threads only order the outputs, so they never change a bit of the
result. There is a file for each family of operations; `shared.py` is what all of them need.
"""

from fastconv._plan.convolution import (
    ASKED_DIRECT,
    INTEGER_TERMS,
    WILD_WEIGHTS,
    Stored,
    conv2d,
    conv2d_and_why,
    conv2d_flops,
    conv2d_seconds,
    conv_integer,
    conv_integer_seconds,
    joined_groups,
    winograd_refused,
)
from fastconv._plan.filters import (
    CORRELATIONS,
    DENSE,
    SLOPE,
    WINOGRAD_DOWN_SPREAD,
    dense_filter,
    filter2d,
    filter2d_and_why,
    filter_flops,
    filter_outputs,
    filter_type_and_why,
    filter_why,
    is_faster_dense,
    is_small,
    rank_filter,
    window_filter,
)
from fastconv._plan.gradient import (
    WINOGRAD_WEIGHT_GRADIENT,
    bias_gradient,
    fold,
    frame_samples,
    weight_gradient,
)
from fastconv._plan.pooling import is_pool_of_pairs, is_small_pool, pool
from fastconv._plan.shared import BYTES, CACHED_PLANS, GIVEN, SHARED_SECONDS, STORED, share
from fastconv._plan.winograd import winograd_replaced, winograd_scheme, winograd_terms
