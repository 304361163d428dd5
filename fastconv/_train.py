"""What the commands `train` and `predict` do: data, network, training, files, pictures."""

import math
from pathlib import Path

import numpy as np

from fastconv import batch, nn, plot
from fastconv.nn.data import read_image
from fastconv.nn.module import floats

MODEL, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"
BARS = "▁▂▃▄▅▆▇█"
TEST_PART = 5  # one image of so many, of each class


def train(
    folder, output, *, epochs, batch_size, lr, size, grey, seed, threads, overwrite, resume, failed
):
    """Train, and write what became of it into `output`; give (history, accuracy, classes, counts).

    Without matplotlib there are no pictures; `draws` tells. `failed` is image_folder's.
    """
    output = Path(output)
    for path in (output / MODEL, output / CHECKPOINT):
        if path.exists() and not (overwrite or resume):
            raise ValueError(f"{path} exists already; --overwrite replaces it, --resume goes on")
    data, classes = _digits() if folder is None else _folder(folder, size, grey, failed)
    (x, labels), test = data
    channels, side = x.shape[1:3]
    model = nn.image_classifier(channels, side, len(classes)).initialize(seed)
    batch.prepare((), output)
    history = nn.fit(
        model, x, labels, epochs=epochs, batch_size=batch_size, lr=lr, schedule="one_cycle",
        augment=nn.Augment(shift=max(1, side // 16), rotate=10), seed=seed, validation=test,
        keep_best=False, checkpoint=output / CHECKPOINT, resume=resume, threads=threads,
    )  # fmt: skip
    if history.stopped:
        if overwrite:  # what is not of this training would be taken for it
            for name in (MODEL, CHECKPOINT)[: 1 if history.epochs else 2]:
                (output / name).unlink(missing_ok=True)
        return history, None, classes, None
    model.save(output / MODEL, {"classes": classes, "size": side, "channels": channels})
    results = model.predict(test[0], threads=threads)
    if draws():
        image = floats(test[0][0], np.dtype(np.float32))
        _draw(output, model, history, image, test[1], results, classes)
    counts = plot.counted(test[1], results)
    return history, counts.trace() / counts.sum(), classes, counts


def draws():
    """Is there what draws pictures?"""
    try:
        plot.require_matplotlib()
    except ImportError:
        return False
    return True


def _digits():
    return nn.digits(), [str(digit) for digit in range(10)]


def _folder(folder, size, grey, failed=None):
    """The images of a folder, a part of each class to test with, chosen once at random."""
    x, labels, classes = nn.image_folder(folder, size, 1 if grey else 3, failed)
    random, tested = np.random.default_rng(0), np.zeros(len(x), bool)
    for label in range(len(classes)):
        members = np.flatnonzero(labels == label)
        part = min(math.ceil(len(members) / TEST_PART), len(members) - 1)  # one is to learn from
        tested[random.permutation(members)[:part]] = True
    if not tested.any():
        raise ValueError(f"{folder} has {len(x)} images, expected at least two of a class")
    return ((x[~tested], labels[~tested]), (x[tested], labels[tested])), classes


def _draw(output, model, history, image, labels, results, classes):
    for name, figure in (
        ("filters", plot.filters(model[0])),
        ("feature_maps", plot.feature_maps(model, image)),
        ("training", plot.training(history)),
        ("confusion", plot.confusion(labels, results, classes)),
        ("saliency", plot.saliency(model, image)),
    ):
        figure.savefig(output / f"{name}.png")


def curve(values):
    """Numbers as a line of bars, of their logarithms."""
    logs = np.log(np.maximum(values, 1e-12))
    low, high = logs.min(), logs.max()
    levels = (logs - low) / ((high - low) or 1) * (len(BARS) - 1)
    return "".join(BARS[round(level)] for level in levels)


def predictor(path, invert=False, threads=None):
    """Give a function from the path of an image to (class, probability) pairs, best first."""
    path = Path(path)
    if path.is_dir():  # where `train` wrote it
        if (path / CHECKPOINT).exists() and not (path / MODEL).exists():
            raise ValueError(f"{path} has a checkpoint, no model: fastconv train --resume goes on")
        path = path / MODEL
    model = nn.load(path).to("float32")
    try:
        classes, size, channels = (model.metadata[key] for key in ("classes", "size", "channels"))
        fits = model.output_shape((1, channels, size, size)) == (1, len(classes))
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"{path} says nothing of classes, expected a model of fastconv train")
    softmax = nn.Softmax()

    def predict(image):
        pixels = read_image(image, size, channels) / np.float32(255)
        pixels = (1 - pixels if invert else pixels)[None]
        (parts,) = softmax(model.predict(pixels, threads=threads))
        return [(classes[i], float(parts[i])) for i in np.argsort(-parts)]

    return predict
