"""Causal convolution of sequences that come piece by piece."""

import numpy as np

from fastconv import _arrays
from fastconv._conv_plan import DTYPES, Conv1dPlan

__all__ = ["CausalConv1d"]


class CausalConv1d:
    """A causal `conv1d` of a stream: what the last pieces leave behind is a state, in and out.

    Pieces of any lengths, each with the state that the one before gave, have the results of
    ``conv1d(..., padding="causal", algorithm="direct")`` of the whole: no output sees what comes
    after its place, and a piece's sums know nothing of others' places, as transforms would.
    With a group for each channel it is ONNX's CausalConvWithState.

    Parameters
    ----------
    weight, bias, dilation, groups, activation, layout
        As in `conv1d`; the weights are copied and packed once.
    algorithm : "auto" or "direct"
        Both sum the terms as they are.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> stream = CausalConv1d(np.array([[[1, 10]]], np.float32))
    >>> y, state = stream(np.array([[[1, 2]]], np.float32))
    >>> y, state
    (array([[[10., 21.]]], dtype=float32), array([[[2.]]], dtype=float32))
    >>> stream(np.array([[[3]]], np.float32), state)[0]
    array([[[32.]]], dtype=float32)
    """

    def __init__(
        self, weight, bias=None, dilation=1, groups=1, *, activation=None, layout="NCW",
        algorithm="auto",
    ):  # fmt: skip
        self._begun, self._continued = (
            Conv1dPlan(
                "CausalConv1d", weight, bias, 1, padding, dilation, groups, "zeros", activation,
                layout, "direct" if algorithm == "auto" else algorithm, copy=True,
            )
            for padding in ("causal", "valid")
        )  # fmt: skip
        self._axis = 1 if layout == "NWC" else 2

    def __repr__(self):
        return repr(self._begun).replace("Conv1dPlan", "CausalConv1d", 1)

    def __call__(self, x, state=None, out=None, threads=None):
        """Give the results of a piece, as long as it is, and the state for the next one.

        `x` is (N, C, W) of the weights' dtype, or (N, W, C) with ``layout="NWC"``; `state` is what
        the piece before gave, (kw - 1) * dilation columns, or None for zeros; `out` and `threads`
        as in `conv1d`.
        """
        x, geometry, _, threads = self._begun._checked_call(x, threads, None)
        before, columns = geometry.cols.before, geometry.cols.n
        if out is not None:
            _arrays.check_out("CausalConv1d", out, geometry.shape, x.dtype)
        if state is not None:
            state = self._checked_state(state, x, before)
        elif columns < before:
            state = np.zeros(self._shape(x, before), x.dtype)
        following = self._columns(x, max(0, columns - before), None).copy()
        if columns < before:
            kept = self._columns(state, columns, None)
            following = np.concatenate([kept, following], self._axis)
        if state is None or before == 0:
            return self._begun(x, out, threads), following
        # Only the first outputs see the state: the piece as a whole is not copied.
        first = self._columns(x, 0, before)
        seen = np.concatenate([state, first], self._axis)
        if first.shape == x.shape:
            return self._continued(seen, out, threads), following
        head = self._continued(seen, None, threads)
        y = self._begun(x, out, threads)
        self._columns(y, 0, before)[...] = head
        return y, following

    def _columns(self, array, first, end):
        return array[(*[slice(None)] * self._axis, slice(first, end))]

    def _shape(self, x, columns):
        return (*x.shape[: self._axis], columns, *x.shape[self._axis + 1 :])

    def _checked_state(self, state, x, before):
        state = _arrays.readable("CausalConv1d", "state", state, DTYPES, self._begun.batch)
        expected = self._shape(x, before)
        if state.shape != expected:
            raise ValueError(
                f"CausalConv1d: state has shape {state.shape}, expected {expected}, of "
                "(kw - 1) * dilation columns"
            )
        self._begun.check_dtype("state", state)
        return state
