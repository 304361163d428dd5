"""Back to where maxima were found."""

from fastconv.pool import _call, _gradient


def max_unpool2d(
    x, indices, kernel_size, stride=None, padding=0, output_size=None, *, layout="NCHW", out=None,
    threads=None,
):  # fmt: skip
    """Put elements back where a maximum was found, among zeros.

    Parameters
    ----------
    x : (N, C, OH, OW) array, as in `max_pool2d`
    indices : array of x's shape, int64
        As `max_pool2d` gives them; -1 is nowhere. Of several elements for one place the last one
        stays.
    kernel_size, stride, padding : int or (rows, columns)
        Of the pooling.
    output_size : tuple, optional
        The size, or the whole shape, of the result; by default
        ``(n - 1) * stride + kernel_size - padding before and after`` for each axis.
    layout : "NCHW" or "NHWC"
    out, threads
        As in `max_pool2d`.

    Returns
    -------
    (N, C, H, W) array of x's dtype, in x's layout

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> max_unpool2d(np.array([[[[7.0]]]]), np.array([[[[2]]]]), 2)[0, 0]
    array([[0., 0.],
           [7., 0.]])
    """
    return _gradient.unpool(
        2, "max_unpool2d", x, indices, kernel_size, stride, padding, output_size, layout, out,
        threads,
    )  # fmt: skip


@_call.documented_like(
    max_unpool2d,
    """
>>> max_unpool1d(np.array([[[7.0, 8]]]), np.array([[[1, 2]]]), 2)
array([[[0., 7., 8., 0.]]])
""",
)
def max_unpool1d(
    x, indices, kernel_size, stride=None, padding=0, output_size=None, *, layout="NCW", out=None,
    threads=None,
):  # fmt: skip
    return _gradient.unpool(
        1, "max_unpool1d", x, indices, kernel_size, stride, padding, output_size, layout, out,
        threads,
    )  # fmt: skip


@_call.documented_like(
    max_unpool2d,
    """
>>> max_unpool3d(np.ones((1, 1, 1, 1, 1)), np.full((1, 1, 1, 1, 1), 5), 2).ravel()
array([0., 0., 0., 0., 0., 1., 0., 0.])
""",
)
def max_unpool3d(
    x, indices, kernel_size, stride=None, padding=0, output_size=None, *, layout="NCDHW", out=None,
    threads=None,
):  # fmt: skip
    return _gradient.unpool(
        3, "max_unpool3d", x, indices, kernel_size, stride, padding, output_size, layout, out,
        threads,
    )  # fmt: skip
