"""Pictures of networks: filters, feature maps, a training, what is mistaken for what, saliency.

Every function gives a `matplotlib.figure.Figure`: ``plot.filters(model[0]).savefig("f.png")``.
matplotlib comes with the extra: ``python -m pip install "fastconv[plot]"``. What does not fit is
refused with a TypeError or ValueError that names the function and the argument.
"""

import numpy as np

from fastconv import _arrays, _geometry
from fastconv.nn.containers import Sequential
from fastconv.nn.losses import checked_labels
from fastconv.nn.module import FLOATS, Module
from fastconv.nn.runs import History

__all__ = ["confusion", "feature_maps", "filters", "saliency", "training"]

OURS, OTHER, SOFT = "#D55E00", "#0072B2", "#555555"  # Okabe and Ito's
SIGNED, POSITIVE = "RdBu_r", "gray"
MOST_MAPS = 16  # of a layer, side by side
LONGEST_NAME = 30  # letters of a class


def filters(layer, most=64):
    """Draw the kernels of a convolution: red adds, blue takes away, white is zero.

    Parameters
    ----------
    layer : Conv2d, or a (K, C, kh, kw) array
        Of three channels they are colours; else each row has the first channels of one kernel.
    most : int
        The most pictures.

    Examples
    --------
    >>> len(filters(np.ones((8, 1, 3, 3))).axes)
    8
    """
    if isinstance(layer, Module) and not hasattr(layer, "weight"):
        raise TypeError(f"filters: layer is {_arrays.shown(layer)}, expected a Conv2d, as model[0]")
    weight = layer.weight.value if isinstance(layer, Module) else layer
    weight = _arrays.as_array("filters", "layer", weight)
    if weight.ndim != 4 or not weight.size:
        raise ValueError(f"filters: layer has weights {weight.shape}, expected (K, C, kh, kw)")
    most = _geometry.integer("filters", "most", most, 1)
    limit = abs(weight).max() or 1
    if weight.shape[1] == 3:
        pictures = [(each.transpose(1, 2, 0) / limit + 1) / 2 for each in weight[:most]]
        columns = min(len(pictures), 8)
    else:
        columns = 8 if weight.shape[1] == 1 else min(weight.shape[1], 8)
        pictures = weight[:, :columns].reshape(-1, *weight.shape[2:])[:most]
        columns = min(columns, len(pictures))
    figure, grid = _grid(-(-len(pictures) // columns), columns)
    for axes, picture in zip(grid, pictures, strict=False):
        axes.imshow(picture, cmap=SIGNED, vmin=-limit, vmax=limit)
    figure.suptitle(f"{len(weight)} kernels of {'x'.join(map(str, weight.shape[1:]))}")
    return figure


def feature_maps(model, image):
    """Draw what each layer makes of one image (C, H, W); bright is large.

    Parameters
    ----------
    model : Sequential
    image : (C, H, W) array of the model's dtype

    Examples
    --------
    >>> from fastconv import nn
    >>> len(feature_maps(Sequential(nn.Conv2d(1, 4, 3)), np.ones((1, 8, 8), np.float32)).axes)
    8
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"feature_maps: model is {model!r}, expected a Sequential")
    x = _arrays.readable("feature_maps", "image", image, FLOATS, "(C, H, W)")
    maps, x = [("input", x)], x[None]
    with model._evaluating():
        for layer in model.layers:
            x = layer.forward(x).copy()
            if x.ndim != 4:
                break
            maps.append((f"{layer.name} {layer!r}".partition("(")[0], x[0]))
    columns = min(MOST_MAPS, max(len(each) for _, each in maps))
    figure, grid = _grid(len(maps), columns, label=1.3)
    for row, (name, each) in enumerate(maps):
        first = grid[row * columns]
        first.text(
            -0.15, 0.5, f"{name}\n{'x'.join(map(str, each.shape))}", ha="right", va="center",
            transform=first.transAxes, fontsize=8,
        )  # fmt: skip
        for axes, picture in zip(grid[row * columns :][:columns], each, strict=False):
            finite = picture[np.isfinite(picture)]
            low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
            if low == high:  # one number: bright if large
                low, high = min(low, 0), max(high, 0) or 1
            axes.imshow(picture, cmap=POSITIVE, vmin=low, vmax=high)
    return figure


def training(history):
    """Draw loss and accuracy of a `History`, epoch by epoch, with those of validation.

    >>> from fastconv import nn
    >>> training(nn.History(loss=[2.0, 1.0], accuracy=[0.5, 0.75])).axes[0].get_ylabel()
    'loss'
    """
    if not isinstance(history, History):
        raise TypeError(f"training: history is {_arrays.shown(history)}, expected a History")
    figure = _figure(9, 3.6)
    from matplotlib.ticker import LogFormatter

    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        epochs = np.arange(1, history.epochs + 1)
        for prefix, colour in (("", OURS), ("validation_", OTHER)):
            series = getattr(history, prefix + name)
            if not np.isnan(series).all():
                label = "validation" if prefix else "training"
                label += f", {series[-1]:.3g} at last"
                axes.plot(epochs, series, color=colour, marker=".", label=label)
        axes.set(xlabel="epoch", ylabel=name, yscale="log" if name == "loss" else "linear")
        axes.set_xlim(0.5, history.epochs + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if history.best_epoch >= 0 and history.validation_loss:
            best, kept = history.best_epoch + 1, history.kept_epoch + 1
            label = f"least loss, epoch {best}"
            if kept:
                label += ", kept" if kept == best else f"; kept is epoch {kept}"
            axes.axvline(best, color=SOFT, lw=0.8, ls=":", label=label)
        if name == "loss":  # 1.2, not 1.2 times a power
            axes.yaxis.set(major_formatter=LogFormatter(), minor_formatter=LogFormatter())
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    return figure


def confusion(labels, results, classes=None):
    """Draw how many samples of each class were taken for which.

    Parameters
    ----------
    labels : (N,) array of integers
    results : (N, K) array
        The model's; the largest of a row is what it says.
    classes : sequence of str, optional
        Their names.

    Examples
    --------
    >>> confusion([0, 1], np.array([[0.9, 0.1], [0.6, 0.4]])).axes[0].get_title()
    '50.0% of 2 right'
    """
    counts = counted(labels, results)
    classes = range(len(counts)) if classes is None else classes
    if isinstance(classes, int | np.integer):
        raise TypeError(f"confusion: classes is {classes}, expected their names")
    names = [str(each) for each in classes]
    if len(names) != len(counts):
        raise ValueError(f"confusion: classes has {len(names)} names, expected {len(counts)}")
    names = [each if len(each) <= LONGEST_NAME else f"{each[:LONGEST_NAME - 1]}…" for each in names]
    side = 2.2 + 0.42 * len(names) + 0.09 * max(map(len, names))
    figure = _figure(side, side)
    axes = figure.subplots()
    # The mistakes are what one looks for: right answers would outshine them.
    shown = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    axes.imshow(shown, cmap="Oranges", vmin=0, vmax=1.6 * max(1, shown.max()))
    for i, j in np.argwhere(counts):
        axes.text(
            j, i, counts[i, j], ha="center", va="center", fontsize=8,
            color=SOFT if i == j else "black",
        )  # fmt: skip
    plain = {"parse_math": False}
    axes.set_xticks(range(len(names)), names, rotation=90 * (max(map(len, names)) > 2), **plain)
    axes.set_yticks(range(len(names)), names, **plain)
    right = np.trace(counts) / max(1, counts.sum())
    axes.set(xlabel="taken for", ylabel="is", title=f"{right:.1%} of {counts.sum()} right")
    return figure


def counted(labels, results):
    """Give (K, K) counts: rows what samples are, columns what they were taken for."""
    results = _arrays.readable("confusion", "results", results, FLOATS, "(N, K)")
    labels = checked_labels("confusion", labels, *results.shape)
    counts = np.zeros((results.shape[1],) * 2, int)
    np.add.at(counts, (labels, results.argmax(1)), 1)
    return counts


def saliency(model, image, label=None):
    """Draw an image (C, H, W) beside the gradient of a class's score by each of its pixels.

    Parameters
    ----------
    model : Module
        Its results are scores of classes.
    image : (C, H, W) array of the model's dtype
    label : int, optional
        The class; by default the one with the largest score.

    Examples
    --------
    >>> from fastconv import nn
    >>> model = Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> saliency(model, np.ones((1, 8, 8), np.float32), label=3).axes[1].get_title()
    'gradient of score 3'
    """
    if not isinstance(model, Module):
        raise TypeError(f"saliency: model is {_arrays.shown(model)}, expected a Module")
    x = _arrays.readable("saliency", "image", image, FLOATS, "(C, H, W)")[None]
    with model._evaluating():
        scores = model.forward(x)
        if scores.ndim != 2:
            raise ValueError(f"saliency: model gives {scores.shape}, expected scores, (1, K)")
        label = int(scores.argmax()) if label is None else label
        label = _geometry.integer("saliency", "label", label, 0, scores.size - 1)
        one = np.zeros_like(scores)
        one[0, label] = 1
        gradient = model.backward(one)[0]
    strongest = np.take_along_axis(gradient, abs(gradient).argmax(0)[None], 0)[0]
    figure, (left, right) = _grid(1, 2, side=2.6)
    _show_image(left, x[0])
    limit = abs(strongest).max() or 1
    right.imshow(strongest, cmap=SIGNED, vmin=-limit, vmax=limit)
    left.set_title("image", fontsize=9)
    right.set_title(f"gradient of score {label}", fontsize=9)
    return figure


def _show_image(axes, image):
    if len(image) == 3:
        axes.imshow(np.clip(image.transpose(1, 2, 0), 0, 1))
    else:
        axes.imshow(image[0], cmap=POSITIVE)


def require_matplotlib():
    """Raise ImportError with the line to type if matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ImportError(
            'pictures need matplotlib, which comes with: python -m pip install "fastconv[plot]"'
        ) from None


def _figure(width, height):
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=130, layout="constrained")


def _grid(rows, columns, side=0.62, label=0.0):
    """A figure of small axes without frames, row by row."""
    figure = _figure(max(3, columns * side + label + 0.3), rows * side + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    return figure, grid
