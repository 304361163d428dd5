"""The networks of the training rows, for any library that has PyTorch's names of layers.

"conv16 pool linear10" is a 3x3 convolution of 16 channels and a linear layer of 10 classes, with a
ReLU after all but the last and a maximum of 2x2 pixels between them.
"""

import math

import numpy as np

RATE, MOMENTUM = 1e-3, 0.9


def layers(case, module):
    """Give the layers of a row's network, made by a module like torch.nn."""
    channels, *size = case.shape[1:]
    found, flat = [], False
    for word in case.arguments["network"].split():
        kind, width = word.rstrip("0123456789"), word.lstrip("abcdefghijklmnopqrstuvwxyz")
        if kind == "pool":
            found.append(module.MaxPool2d(2))
            size = [n // 2 for n in size]
        elif kind == "conv":
            found += [module.Conv2d(channels, int(width), 3, padding=1), module.ReLU()]
            channels = int(width)
        else:
            found += [] if flat else [module.Flatten()]
            inputs = channels if flat else channels * math.prod(size)
            found += [module.Linear(inputs, int(width)), module.ReLU()]
            channels, flat = int(width), True
    return found[:-1]


def parameters(shapes):
    """Give the first values of parameters: the same for every library."""
    random = np.random.default_rng(20)
    for shape in shapes:
        terms = math.prod(shape[1:])
        yield (random.standard_normal(shape) / math.sqrt(terms)).astype(np.float32)


def labels(case):
    """Give the class of each sample."""
    return np.arange(case.shape[0]) % 10
