"""The network of `fastconv train`."""

from fastconv._geometry import integer
from fastconv.nn.activations import ReLU
from fastconv.nn.containers import Sequential
from fastconv.nn.convolution import Conv2d, Linear
from fastconv.nn.layers import Dropout, Flatten
from fastconv.nn.pooling import AdaptiveAvgPool2d, MaxPool2d


def image_classifier(channels, size, classes, width=32):
    """Give three convolutions and a linear layer, for square images of a few to 100 pixels."""
    side = integer("image_classifier", "size", size, 4) // 4
    layers = [
        Conv2d(channels, width, 3, padding=1), ReLU(), Conv2d(width, 2 * width, 3, padding=1),
        ReLU(), MaxPool2d(2), Conv2d(2 * width, 2 * width, 3, padding=1), ReLU(), MaxPool2d(2),
    ]  # fmt: skip
    if side > 8:
        layers, side = [*layers, AdaptiveAvgPool2d(8)], 8
    return Sequential(*layers, Flatten(), Dropout(0.3), Linear(2 * width * side**2, classes))
