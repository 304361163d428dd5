"""Small convolutional networks: layers, losses, optimisers, training.

Names and defaults are PyTorch's.

>>> import numpy as np
>>> from fastconv import nn
>>> model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
>>> model.initialize(seed=0).predict(np.ones((5, 1, 4, 4), np.float32)).shape
(5, 2)
"""

from fastconv.nn.activations import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from fastconv.nn.augment import Augment
from fastconv.nn.containers import Residual, Sequential
from fastconv.nn.convolution import Conv1d, Conv2d, ConvTranspose2d, Linear
from fastconv.nn.data import digits, image_folder
from fastconv.nn.layers import BatchNorm2d, Dropout, Flatten
from fastconv.nn.losses import binary_cross_entropy, cross_entropy, mse
from fastconv.nn.models import image_classifier
from fastconv.nn.module import Module, Parameter
from fastconv.nn.optimizers import SGD, Adam, AdamW
from fastconv.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from fastconv.nn.runs import History
from fastconv.nn.schedules import CosineAnnealingLR, OneCycleLR, StepLR
from fastconv.nn.serialization import load, read_arrays
from fastconv.nn.steps import evaluate, train_step
from fastconv.nn.training import fit

__all__ = [
    "GELU", "SGD", "Adam", "AdamW", "AdaptiveAvgPool2d", "Augment", "AvgPool2d", "BatchNorm2d",
    "Conv1d", "Conv2d", "ConvTranspose2d", "CosineAnnealingLR", "Dropout", "Flatten", "History",
    "LeakyReLU", "Linear", "MaxPool2d", "Module", "OneCycleLR", "Parameter", "ReLU", "Residual",
    "Sequential", "SiLU", "Sigmoid", "Softmax", "StepLR", "Tanh", "binary_cross_entropy",
    "cross_entropy", "digits", "evaluate", "fit", "image_classifier", "image_folder", "load", "mse",
    "read_arrays", "train_step",
]  # fmt: skip
