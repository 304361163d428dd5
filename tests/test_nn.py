"""Layers, losses and optimisers: gradients in float64, PyTorch's numbers, bits, messages."""

import copy
import functools
import mmap
import pickle
import re

import numpy as np
import pytest
from helpers import assert_same_bits, guarded
from numpy.testing import assert_allclose, assert_array_equal

from fastconv import conv1d, conv2d_backward, nn

RNG = np.random.default_rng(6)
ACTIVATIONS = [nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU]
# name: layers of PyTorch's names, and the shape of a batch
LAYERS = {
    "conv2d": (lambda m: [m.Conv2d(3, 4, 3, padding=1)], (2, 3, 6, 5)),
    "conv2d, all options": (
        lambda m: [m.Conv2d(4, 6, (3, 2), 2, 1, 2, groups=2, bias=False, padding_mode="circular")],
        (2, 4, 9, 8),
    ),
    "conv1d": (lambda m: [m.Conv1d(4, 6, 3, 2, padding=1, dilation=2, groups=2)], (2, 4, 9)),
    "conv_transpose2d": (
        lambda m: [m.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)],
        (2, 4, 4, 5),
    ),
    "linear": (lambda m: [m.Linear(7, 5)], (4, 7)),
    "linear, more axes": (lambda m: [m.Linear(7, 5, bias=False)], (4, 2, 7)),
    "batch_norm2d": (lambda m: [m.BatchNorm2d(3)], (4, 3, 3, 2)),
    "batch_norm2d, plain": (lambda m: [m.BatchNorm2d(3, affine=False)], (4, 3, 3, 2)),
    "batch_norm2d, batches alone": (
        lambda m: [m.BatchNorm2d(3, 1e-3, 0.2, True, False)], (4, 3, 3, 2),
    ),
    "batch_norm2d, means of batches": (lambda m: [m.BatchNorm2d(3, momentum=None)], (4, 3, 3, 2)),
    "max_pool2d": (lambda m: [m.MaxPool2d(2)], (2, 3, 6, 7)),
    "max_pool2d, overlapping": (lambda m: [m.MaxPool2d(3, 2, 1)], (2, 3, 6, 7)),
    "max_pool2d, all options": (lambda m: [m.MaxPool2d(2, 2, 1, 2, False, True)], (2, 3, 6, 7)),
    "avg_pool2d": (lambda m: [m.AvgPool2d(3, 2, 1, count_include_pad=False)], (2, 3, 6, 7)),
    "avg_pool2d, all options": (lambda m: [m.AvgPool2d(3, 2, 1, True, True, 5)], (2, 3, 6, 7)),
    "adaptive_avg_pool2d": (lambda m: [m.AdaptiveAvgPool2d((3, 2))], (2, 3, 7, 5)),
    "softmax": (lambda m: [m.Softmax(1)], (3, 5)),
    "flatten": (lambda m: [m.Flatten(), m.Linear(12, 2)], (2, 3, 2, 2)),
    "flatten, some axes": (lambda m: [m.Flatten(1, 2), m.Flatten(-2, -1)], (2, 3, 4, 2)),
    "gelu, by tanh": (lambda m: [m.GELU(approximate="tanh")], (3, 4, 50)),
    "gelu, by tanh, fused": (
        lambda m: [m.Conv2d(2, 3, 3), m.GELU("tanh"), m.Conv2d(3, 2, 1)], (2, 2, 5, 6),
    ),
    **{
        f"{kind.__name__}, {where}": (make, shape)
        for kind in ACTIVATIONS
        for where, make, shape in (
            ("alone", lambda m, k=kind: [getattr(m, k.__name__)()], (3, 4, 5)),
            (
                "fused",
                lambda m, k=kind: [m.Conv2d(2, 3, 3), getattr(m, k.__name__)(), m.Conv2d(3, 2, 1)],
                (2, 2, 5, 6),
            ),
            (
                "before a maximum",
                lambda m, k=kind: [m.Conv2d(2, 3, 3), getattr(m, k.__name__)(), m.MaxPool2d(2)],
                (2, 2, 6, 7),
            ),
        )
    },
}
# What PyTorch has no layer for.
OURS = {
    "residual": (lambda: [nn.Residual(nn.Conv2d(2, 2, 3, padding=1), nn.Tanh())], (2, 2, 4, 4)),
    "residual of nothing": (lambda: [nn.Residual()], (2, 3)),
    "residual of a view": (lambda: [nn.Residual(nn.Flatten())], (2, 3)),
    "residuals": (
        lambda: [
            nn.Residual(nn.ReLU(), nn.Conv2d(2, 2, 1)), nn.ReLU(),
            nn.Residual(nn.ReLU(), nn.Residual(nn.Sigmoid())), nn.MaxPool2d(2, 1),
        ],
        (2, 2, 4, 4),
    ),
    "maximum first": (lambda: [nn.ReLU(), nn.MaxPool2d(2), nn.ReLU()], (2, 2, 4, 4)),
}  # fmt: skip


def model_of(name):
    make, shape = (LAYERS | OURS)[name]
    layers = make(nn) if name in LAYERS else make()
    return nn.Sequential(*layers).to("float64").initialize(1), RNG.standard_normal(shape)


def assert_gradient(function, array, gradient, samples=15):
    """Central differences of a float64 function by some elements of an array."""
    for _ in range(min(samples, array.size)):
        i = tuple(RNG.integers(0, n) for n in array.shape)
        before = array[i]
        array[i] = before + 1e-6
        above = function()
        array[i] = before - 1e-6
        below = function()
        array[i] = before
        assert_allclose(gradient[i], (above - below) / 2e-6, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS | OURS)
def test_gradients_of_layers(name):
    model, x = model_of(name)
    y = model.forward(x).copy()
    assert model.output_shape(x.shape) == y.shape
    dy = RNG.standard_normal(y.shape)
    before = x.copy(), dy.copy()
    dx = model.backward(dy).copy()
    assert_same_bits((x, dy), before)
    grads = [p.grad.copy() for p in model.parameters()]
    assert model.backward(dy, input_gradient=False) is None
    assert_same_bits(tuple(p.grad for p in model.parameters()), tuple(grads))

    def loss():
        return float((model.forward(x) * dy).sum())

    assert_gradient(loss, x, dx)
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert_gradient(loss, p.value, grad)


def test_gradients_of_batch_norm_after_training():
    model, x = model_of("batch_norm2d")
    model.forward(x)
    model.eval()
    dy = RNG.standard_normal(x.shape)
    model.forward(x)
    dx = model.backward(dy).copy()
    assert_gradient(lambda: float((model.forward(x) * dy).sum()), x, dx)


@pytest.mark.parametrize("kind", [nn.SiLU, nn.GELU, nn.ReLU])
def test_gradients_after_training(kind):
    """The activation is applied by the layer before, and its derivative is wanted all the same."""
    for before in (nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(2, 3, 3)):
        model = nn.Sequential(before, kind(), nn.Conv2d(3, 2, 1), kind(), nn.Flatten())
        model.to("float64").initialize(2).eval()
        x = RNG.standard_normal((2, 2, 5, 6))
        dy = RNG.standard_normal(model.forward(x).shape)
        dx = model.backward(dy).copy()
        grads = [p.grad.copy() for p in model.parameters()]
        assert_same_bits(model.backward(dy), dx)  # again, of the same batch
        assert_same_bits(tuple(p.grad for p in model.parameters()), tuple(grads))
        assert_gradient(lambda m=model, x=x, dy=dy: float((m.forward(x) * dy).sum()), x, dx)
    alone = model[3]
    assert alone.backward(np.ones_like(alone._y)).shape == alone._y.shape


@pytest.mark.parametrize("name", LAYERS | OURS)
def test_backward_checks_its_gradient(name):
    model, x = model_of(name)
    label = type(model).__name__
    with pytest.raises(ValueError, match=f"^{label}: backward has no result, expected forward"):
        model.backward(np.zeros(3))
    y = model.forward(x)
    for dy in (np.zeros((len(y) + 1, *y.shape[1:])), np.zeros((*y.shape, 1)), np.zeros(1)):
        message = f"{label}: dy is {dy.shape} of float64, expected the result's {y.shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            model.backward(dy)
    with pytest.raises(TypeError, match=r"dy is .* of float32, expected the result's .* of float6"):
        model.backward(y.astype(np.float32))
    model.backward(y.copy())
    for spoil in (lambda: model.predict(x), lambda: model.to("float32")):
        model.forward(x)
        spoil()
        with pytest.raises(ValueError, match="expected forward before it"):
            model.backward(y)


def test_backward_checks_every_layer():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten())
    y = model.forward(np.ones((4, 1, 8, 8), np.float32)).copy()
    model[1].forward(np.ones((1, 2, 6, 6), np.float32))
    message = r"layer 1 (MaxPool2d): dy is (4, 2, 3, 3) of float32, expected the result's (1, 2, 3"
    with pytest.raises(ValueError, match=re.escape(message)):
        model.backward(y)
    with pytest.raises(ValueError, match=re.escape("layer 0 (Conv2d): backward has no result")):
        nn.Sequential(nn.Conv2d(1, 2, 3))[0].backward(y)
    with pytest.raises(ValueError, match=re.escape("layer 1 (Linear): x has shape")):
        model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))
        y = model.forward(np.ones((2, 3), np.float32)).copy()
        model.forward(np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="Sequential: backward has no result"):
        model.backward(y)


def test_modes_come_back():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Residual(nn.Dropout()))
    model[1].eval()
    model[2][0].eval()
    modes = [module.training for module in model.modules()]
    x = np.ones((2, 1, 8, 8), np.float32)
    model.predict(x)
    nn.evaluate(model, x, np.ones((2, 2, 6, 6)), nn.mse)
    with pytest.raises(ValueError, match="layer 0"):
        model.predict(x[:, :, :1])
    assert [module.training for module in model.modules()] == modes


def test_batch_norm_differentiates_what_it_computed():
    model, x = model_of("batch_norm2d")
    dy = RNG.standard_normal(model.forward(x).shape)
    dx = model.backward(dy).copy()
    model.forward(x)
    assert_same_bits(model.eval().backward(dy), dx)


def test_dropout():
    layer = nn.Dropout(0.25).to("float64")
    layer.seed(3)
    x = np.ones((200, 50))
    y = layer.forward(x).copy()
    assert set(np.unique(y)) == {0, 1 / 0.75} and abs(y.mean() - 1) < 0.03
    assert_same_bits(layer.backward(x), y)
    assert layer.eval().forward(x) is x
    layer.train().seed(3)
    assert_same_bits(layer.forward(x), y)


@pytest.mark.parametrize("weight", [None, (0.5, 3, 2, 0, 1)])
@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_gradient_of_cross_entropy(smoothing, weight):
    logits, labels = np.random.default_rng(1).standard_normal((4, 5)), np.array([0, 4, 2, 2])
    _, gradient = nn.cross_entropy(logits, labels, smoothing, weight)
    assert_gradient(
        lambda: nn.cross_entropy(logits, labels, smoothing, weight)[0], logits, gradient
    )


def test_weights_of_classes():
    """By hand: probabilities of 1/2; class 1 counts three times as much as class 0."""
    loss, gradient = nn.cross_entropy(np.zeros((2, 2)), np.array([0, 1]), weight=[1, 3])
    assert np.isclose(loss, np.log(2))
    assert_allclose(gradient, [[-1 / 8, 1 / 8], [3 / 8, -3 / 8]])
    assert nn.cross_entropy(np.array([[0, -np.inf]]), [0])[0] == 0
    assert np.copysign(1, nn.cross_entropy(np.array([[999.0, 0]]), [0])[0]) == 1
    with np.errstate(all="raise"):
        model = nn.Linear(2, 2).initialize(seed=0)
        loss = functools.partial(nn.cross_entropy, weight=(1, 3))
        x, labels = np.eye(2, dtype=np.float32), np.array([0, 1])
        history = nn.fit(model, x, labels, epochs=2, loss=loss, progress=False)
    assert history.loss[1] < history.loss[0]
    with pytest.raises(ValueError, match=r"fit: y has 2, expected 0 to 1"):
        nn.fit(model, x, labels + 1, loss=loss)


def test_inplace_changes_nothing():
    for layer in (nn.ReLU(True), nn.LeakyReLU(inplace=True), nn.SiLU(inplace=True)):
        x = np.array([[-1.0, 2]], np.float32)
        assert_same_bits(layer(x), type(layer)()(x))
        assert x.tolist() == [[-1, 2]] and repr(layer) == f"{type(layer).__name__}()"
    assert repr(nn.Dropout(0.1, inplace=True)) == "Dropout(p=0.1)"


@pytest.mark.parametrize("loss", [nn.mse, nn.binary_cross_entropy])
def test_gradients_of_other_losses(loss):
    y, target = RNG.uniform(0.1, 0.9, (2, 4, 5))
    _, gradient = loss(y, target)
    assert_gradient(lambda: loss(y, target)[0], y, gradient)


def test_cross_entropy_of_large_scores():
    loss, gradient = nn.cross_entropy(np.array([[1000.0, -1000]]), np.array([1]))
    assert loss == 2000
    assert gradient.tolist() == [[1, -1]]


def test_gradient_memory_is_shared():
    """A deep model needs no more gradients at once than two layers do."""
    layers = [layer for _ in range(6) for layer in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(*layers)
    x = np.ones((2, 3, 8, 8), np.float32)
    for _ in range(2):
        model.backward(model.forward(x))
        assert len(model._pool._taken) + len(model._pool._free) <= 2


def test_gradients_layer_by_layer():
    """What a layer of a model gives lives on while the one before it takes memory."""
    model = nn.Sequential(*(
        layer for _ in range(4) for layer in (nn.Conv2d(3, 3, 3, padding=1), nn.Tanh())
    ))  # fmt: skip
    x, dy = (RNG.standard_normal((2, 3, 8, 8)).astype(np.float32) for _ in range(2))
    model.forward(x)
    expected = model.backward(dy).copy()
    for layer in reversed(model.layers):
        dy = layer.backward(dy)
    assert_same_bits(dy, expected)


def test_a_layer_of_two_models():
    shared = nn.Conv2d(3, 3, 3, padding=1)
    models = [nn.Sequential(shared, nn.Conv2d(3, 3, 1), nn.Tanh()) for _ in range(2)]
    x = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)
    for _ in range(5):
        for model in models:
            model.backward(model.forward(x))
            assert len(model._pool._taken) + len(model._pool._free) <= 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_a_model_that_learns(copied):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    x, dy = (RNG.standard_normal(shape).astype(np.float32) for shape in ((5, 1, 4, 4), (5, 3)))
    for _ in range(2):
        model.forward(x)
        model.backward(dy)
    other = copied(model)
    for _ in range(2):
        assert_same_bits(other.forward(x), model.forward(x))
        assert_same_bits(other.backward(dy), model.backward(dy))
        x = RNG.standard_normal(x.shape).astype(np.float32)
        grads = (tuple(p.grad for p in each.parameters()) for each in (other, model))
        assert_same_bits(*grads)


class Turned(nn.Module):
    """A layer of somebody else's, whose arrays are no plain ones."""

    def _forward(self, x, threads):
        return np.swapaxes(x, -1, -2)

    def _backward(self, dy, threads, input_gradient):
        return np.swapaxes(dy, -1, -2)


@pytest.mark.parametrize("layers", [
    [nn.Conv2d(2, 3, 3)], [nn.Conv2d(2, 16, 3), nn.ReLU()], [nn.MaxPool2d(2)], [nn.ReLU()],
    [nn.BatchNorm2d(2)], [nn.Sigmoid()], [nn.Flatten(), nn.Linear(40, 2)], [nn.AvgPool2d(2)],
], ids=str)  # fmt: skip
def test_arrays_that_are_not_contiguous(layers):
    x = RNG.standard_normal((3, 2, 5, 4)).astype(np.float32)
    plain = nn.Sequential(*layers)
    y = plain.forward(np.ascontiguousarray(x.swapaxes(2, 3))).copy()
    dy = RNG.standard_normal(y.shape).astype(np.float32)
    dx = plain.backward(dy).swapaxes(2, 3).copy()
    behind = [Turned(), Turned()] if y.ndim == 4 else []
    model = nn.Sequential(Turned(), *layers, *behind)
    assert_same_bits(np.ascontiguousarray(model.forward(x)), y)
    assert_same_bits(np.ascontiguousarray(model.backward(dy)), dx)


def test_parameters_of_any_memory():
    layer, x = nn.Linear(6, 5, bias=False), RNG.standard_normal((3, 6)).astype(np.float32)
    expected = layer.forward(x).copy()
    layer.weight.value = np.asfortranarray(layer.weight.value)
    assert_same_bits(layer.forward(x), expected)
    layer.weight.value *= 2  # and it is the layer's own
    assert_same_bits(layer.forward(x), 2 * expected)
    layer.weight.grad = np.frombuffer(bytes(4 * 30), np.float32).reshape(5, 6)
    with pytest.raises(ValueError, match="read-only"):
        layer.backward(np.ones((3, 5), np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("place", ["start", "end"])
def test_gradient_of_relu_touches_nothing_else(dtype, place):
    layer, writable = nn.ReLU(), mmap.PROT_READ | mmap.PROT_WRITE
    for size in (*range(1, 70), 1000):
        x, dy = (RNG.standard_normal((3, size)).astype(dtype) for _ in range(2))
        x[:, ::3] = np.where(x[:, ::3] < 0, -0.0, np.finfo(dtype).smallest_subnormal)
        y = layer.forward(x)
        expected = np.where(x > 0, dy, dy.dtype.type(0))
        out = guarded(np.full_like(dy, np.nan), place, writable)
        layer.by_output(guarded(dy, place), guarded(y, place), out, 2)
        assert_same_bits(out, expected)
        assert_same_bits(layer.backward(dy), expected)
    assert layer.forward(np.array(2.0)).shape == layer.backward(np.array(3.0)).shape == ()


@pytest.mark.parametrize("window", [(2,), (3, 2), (2, 1)])
@pytest.mark.parametrize("width", [3, 8, 15, 16, 33, 70])
def test_gradient_of_relu_before_a_maximum(width, window):
    """The same values as layer by layer."""
    relu, pool = nn.ReLU(), nn.MaxPool2d(*window)
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(*window))
    x = RNG.standard_normal((2, 3, 5, width)).astype(np.float32) - 0.5
    y = pool.forward(relu.forward(x))
    assert_same_bits(model.forward(x), y)
    dy = RNG.standard_normal(y.shape).astype(np.float32)
    assert_array_equal(model.backward(dy), relu.backward(pool.backward(dy)))


@pytest.mark.parametrize("name", LAYERS)
def test_pytorch(name):
    """Same results, gradients and state, both ways."""
    torch = pytest.importorskip("torch")
    make, shape = LAYERS[name]
    theirs, ours = torch.nn.Sequential(*make(torch.nn)), nn.Sequential(*make(nn))
    state = {key: value.numpy().copy() for key, value in theirs.state_dict().items()}
    ours.load_state_dict(state)
    assert_same_bits(tuple(ours.state_dict().values()), tuple(state.values()))
    assert list(ours.state_dict()) == list(state)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    x = RNG.standard_normal(shape).astype(np.float32)
    tensor = torch.from_numpy(x).requires_grad_()
    result, y = theirs(tensor), ours.forward(x)
    close = {"rtol": 1e-5, "atol": 2e-6}
    assert_allclose(y, result.detach().numpy(), **close)
    dy = RNG.standard_normal(y.shape).astype(np.float32)
    result.backward(torch.from_numpy(dy))
    assert_allclose(ours.backward(dy), tensor.grad.numpy(), **close)
    for mine, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_allclose(mine.grad, their.grad.numpy(), **close)
    for key, value in theirs.state_dict().items():
        assert_allclose(ours.state_dict()[key], value.numpy(), **close)


def test_losses_are_pytorchs():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    logits, labels = RNG.standard_normal((6, 4)), RNG.integers(0, 4, 6)
    y, target = RNG.uniform(0, 1, (2, 3, 4))
    y[0] = 0, 1, 0, 1
    for ours, theirs, first, second in (
        (nn.cross_entropy, functional.cross_entropy, logits, labels),
        (
            lambda a, b: nn.cross_entropy(a, b, 0.2),
            lambda a, b: functional.cross_entropy(a, b, label_smoothing=0.2),
            logits, labels,
        ),
        *(
            (
                lambda a, b, s=smoothing: nn.cross_entropy(a, b, s, [0.5, 0, 2, 3]),
                lambda a, b, s=smoothing: functional.cross_entropy(
                    a, b, torch.tensor([0.5, 0, 2, 3], dtype=torch.float64), label_smoothing=s
                ),
                logits, labels,
            )
            for smoothing in (0, 0.3)
        ),
        (nn.mse, functional.mse_loss, y, target),
        (nn.binary_cross_entropy, functional.binary_cross_entropy, y, target),
    ):  # fmt: skip
        tensor = torch.from_numpy(first).requires_grad_()
        expected = theirs(tensor, torch.from_numpy(second))
        expected.backward()
        loss, gradient = ours(first, second)
        assert_allclose(loss, expected.item(), rtol=1e-12)
        assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
        ("Adam", {}),
        ("Adam", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
        ("AdamW", {"lr": 0.01}),
    ],
)
def test_optimizers_are_pytorchs(kind, options):
    torch = pytest.importorskip("torch")
    ours = [nn.Parameter(RNG.standard_normal(shape)) for shape in ((3, 4), (20_000,), (2,))]
    theirs = [torch.from_numpy(p.value.copy()).requires_grad_() for p in ours]
    mine, their = getattr(nn, kind)(ours, **options), getattr(torch.optim, kind)(theirs, **options)
    for _ in range(5):
        for p, tensor in zip(ours, theirs, strict=True):
            p.grad[...] = RNG.standard_normal(p.grad.shape)
            tensor.grad = torch.from_numpy(p.grad.copy())
        mine.step()
        their.step()
    for p, tensor in zip(ours, theirs, strict=True):
        assert_allclose(p.value, tensor.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "arguments", "options"),
    [
        ("StepLR", {"step_size": 3, "gamma": 0.5}, {}),
        ("CosineAnnealingLR", {"T_max": 12, "eta_min": 0.01}, {}),
        ("OneCycleLR", {"max_lr": 0.5, "total_steps": 13}, {}),
        ("OneCycleLR", {"max_lr": 0.5, "total_steps": 40, "pct_start": 0.5}, {}),
    ],
)
def test_schedules_are_pytorchs(kind, arguments, options):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.2, momentum=0.9)
    theirs = getattr(torch.optim.lr_scheduler, kind)(optimizer, **arguments)
    ours = getattr(nn, kind)(**arguments, **({} if kind == "OneCycleLR" else {"lr": 0.2}))
    for step in range(min(40, arguments.get("total_steps", 41) - 1)):
        group = optimizer.param_groups[0]
        assert_allclose(ours(step), group["lr"], rtol=1e-9)
        if kind == "OneCycleLR":
            assert_allclose(ours.momentum(step), group["momentum"], rtol=1e-9)
        optimizer.step()
        theirs.step()


def test_two_optimizers_of_one_model():
    """The memory of the parameters goes to whom the last step belongs to."""
    model = nn.Linear(3, 2).initialize(0)
    first, second = (nn.SGD(model.parameters(), lr=0.1) for _ in range(2))
    expected = model.weight.value - 3 * np.float32(0.1)
    for optimizer in (first, second, first):
        for p in model.parameters():
            p.grad.fill(1)
        optimizer.step()
    assert_allclose(model.weight.value, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_cycle_of_pytorchs(kind):
    """Rate and momentum of every step, by `fit`; afterwards the optimiser is as it was."""
    torch = pytest.importorskip("torch")
    options = {"momentum": 0.9} if kind == "SGD" else {}
    model, theirs = nn.Linear(3, 2).to("float64").initialize(0), torch.nn.Linear(3, 2).double()
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
    x, y = RNG.standard_normal((8, 3)), RNG.standard_normal((8, 2))
    mine = getattr(nn, kind)(model.parameters(), lr=0.1, **options)
    before = vars(mine).copy()
    schedule = nn.OneCycleLR(0.1, 10)
    nn.fit(model, x, y, epochs=10, batch_size=8, optimizer=mine, schedule=schedule, loss=nn.mse,
           progress=False)  # fmt: skip
    optimizer = getattr(torch.optim, kind)(theirs.parameters(), lr=0.1, **options)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 10)
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(theirs(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
        cycle.step() if cycle.last_epoch < 9 else None
    for key, value in theirs.state_dict().items():
        assert_allclose(model.state_dict()[key], value.numpy(), rtol=1e-9)
    assert all(before[key] == vars(mine)[key] for key in {"lr", "momentum", "betas"} & set(before))


def test_statistics_of_batches_are_pytorchs():
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    for momentum in (0.3, None):
        ours = nn.BatchNorm2d(2, momentum=momentum)
        theirs = torch.nn.BatchNorm2d(2, momentum=momentum)
        for _ in range(3):
            x = rng.standard_normal((4, 2, 3, 3)).astype(np.float32)
            ours(x), theirs(torch.from_numpy(x))
        for key, value in theirs.state_dict().items():
            assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-5, atol=1e-6)
        assert_allclose(ours.eval()(x), theirs.eval()(torch.from_numpy(x)).detach(), rtol=1e-5)


def test_all_layers_learn_ten_images_by_heart():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Residual(nn.Conv2d(8, 8, 3, padding=1), nn.SiLU()), nn.MaxPool2d(2),
        nn.ConvTranspose2d(8, 4, 2, stride=2), nn.GELU(), nn.AvgPool2d(2), nn.LeakyReLU(),
        nn.Conv2d(4, 8, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.0),
        nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 10),
    ).initialize(0)  # fmt: skip
    x = np.random.default_rng(0).standard_normal((10, 1, 8, 8)).astype(np.float32)
    labels = np.arange(10)
    optimizer = nn.Adam(model.parameters(), lr=0.01)
    for _ in range(600):
        loss, gradient = nn.cross_entropy(model.forward(x), labels)
        model.backward(gradient, input_gradient=False)
        optimizer.step()
    assert loss < 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(7, 3))(
                np.zeros((2, 1, 8, 8), np.float32)
            ),
            "layer 2 (Linear): x has shape (2, 144), expected (N, 7)",
        ),
        (
            lambda: nn.Sequential(nn.ReLU(), nn.Residual(nn.Conv2d(2, 3, 1)))(
                np.zeros((1, 2, 3, 3), np.float32)
            ),
            "layer 1 (Residual): its layers give (1, 3, 3, 3), expected the shape of x, (1, 2, ",
        ),
        (
            lambda: nn.Sequential(nn.Residual(nn.ReLU(), nn.Conv2d(3, 3, 1)))(
                np.zeros((1, 2, 3, 3), np.float32)
            ),
            "layer 0.1 (Conv2d): x has shape (1, 2, 3, 3), expected (N, 3, H, W)",
        ),
        (
            lambda: nn.MaxPool2d(9)(np.zeros((2, 1, 8, 8), np.float32)),
            "MaxPool2d: the kernel covers 9 rows but x has 8",
        ),
        (
            lambda: nn.Linear(3, 2)(np.zeros((2, 3))),
            "Linear: x has dtype float64, expected weight's, float32",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, groups=2),
            "Conv2d: in_channels is 3, expected a multiple of groups=2",
        ),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), "Conv2d: stride is 0, expected at least 1"),
        (lambda: nn.Dropout(1), "Dropout: p is 1, expected at least 0 and less than 1"),
        (lambda: nn.ReLU()(np.ones(3), threads=0), "ReLU: threads is 0, expected 1 to"),
        (lambda: nn.ReLU().predict(np.ones(3), 0), "ReLU: batch_size is 0, expected at least 1"),
        (lambda: nn.Sequential(3), "Sequential: got 3, expected layers"),
        (
            lambda: nn.BatchNorm2d(3)(np.zeros((4, 3), np.float32)),
            "BatchNorm2d: x has shape (4, 3), expected (N, 3, H, W)",
        ),
        (lambda: nn.Softmax(2)(np.zeros((4, 3))), "Softmax: x has shape (4, 3), expected an ax"),
        (lambda: nn.Softmax(None), "Softmax: dim is None, expected an integer"),
        (lambda: nn.Flatten()(np.zeros(4)), "Flatten: x has shape (4,), expected axes 1 to -1"),
        (lambda: nn.GELU("erf"), "GELU: approximate is 'erf', expected 'none' or 'tanh'"),
        (
            lambda: nn.MaxPool2d(2, 2, 0, 1, True),
            "MaxPool2d: return_indices is True, expected False: max_pool2d gives them",
        ),
        (
            lambda: nn.Sequential(nn.ConvTranspose2d(2, 3, 2))(np.zeros((1, 2, 3, 3))),
            "layer 0 (ConvTranspose2d): x has dtype float64, expected weight's, float32",
        ),
        (
            lambda: nn.BatchNorm2d(2)(np.zeros((1, 2, 3, 3))),
            "BatchNorm2d: x has dtype float64, expected weight's, float32",
        ),
        (
            lambda: nn.BatchNorm2d(2, affine=False)(np.zeros((1, 2, 3, 3))),
            "BatchNorm2d: x has dtype float64, expected running_mean's, float32",
        ),
        (lambda: nn.BatchNorm2d(2, eps=-1), "BatchNorm2d: eps is -1, expected at least 0"),
        (lambda: nn.Dropout("0.5"), "Dropout: p is '0.5', expected a number"),
        (lambda: nn.Linear(2, 2).initialize(-1), "Linear: seed is -1, expected an integer of at"),
        (lambda: nn.Dropout().seed(1.5), "Dropout: seed is 1.5, expected an integer of at least 0"),
        (lambda: nn.StepLR(0.1, 0), "StepLR: step_size is 0, expected at least 1"),
        (lambda: nn.CosineAnnealingLR(0.1, 0), "CosineAnnealingLR: T_max is 0, expected at l"),
        (lambda: nn.OneCycleLR(0.1, 0), "OneCycleLR: total_steps is 0, expected at least 1"),
        (lambda: nn.OneCycleLR(0.1, 9, 2), "OneCycleLR: pct_start is 2, expected 0 to 1"),
        (lambda: nn.StepLR(-1, 3), "StepLR: lr is -1, expected at least 0"),
        (
            lambda: nn.Adam(nn.Linear(1, 1).parameters(), betas=(0.9, 1)),
            "Adam: betas is 1, expected at least 0 and less than 1",
        ),
        (
            lambda: nn.SGD(nn.Linear(1, 1).parameters(), 0.1, 0.9, 0.1, 0, True),
            "SGD: dampening is 0.1, expected 0 with nesterov",
        ),
        (lambda: nn.Adam(nn.Linear(1, 1).parameters(), "1"), "Adam: lr is '1', expected a number"),
        (
            lambda: nn.ReLU()(np.zeros((0, 3))),
            "ReLU: x has shape (0, 3), expected at least a sample",
        ),
        (
            lambda: nn.BatchNorm2d(2)(np.zeros((1, 2, 1, 1), np.float32)),
            "BatchNorm2d: x has shape (1, 2, 1, 1), expected more than one value per channel",
        ),
        (
            lambda: nn.cross_entropy(np.zeros((2, 3)), np.array([0, 3])),
            "cross_entropy: labels has 3, expected 0 to 2 (3 classes)",
        ),
        *(
            (
                lambda weight=weight: nn.cross_entropy(np.zeros((1, 2)), [0], weight=weight),
                f"cross_entropy: weight is {shown}, expected 2 finite numbers of at least 0",
            )
            for weight, shown in (
                ([1, -1], [1, -1]), ([1], [1]), ([1, np.nan], "[1.0, nan]"),
                ("ab", "'ab'"), ([True, False], [True, False]),
            )
        ),
        (
            lambda: nn.cross_entropy(np.zeros((2, 3)), np.array([0.0, 1])),
            "cross_entropy: labels has dtype float64, expected integers",
        ),
        (
            lambda: nn.mse(np.zeros((2, 3)), np.zeros(2)),
            "mse: target has shape (2,), expected the result's, (2, 3)",
        ),
        (
            lambda: nn.binary_cross_entropy(np.array([2.0]), np.array([0])),
            "binary_cross_entropy: y has 2.0 to 2.0, expected probabilities",
        ),
        (lambda: nn.SGD([]), "SGD: got no parameters, expected model.parameters()"),
        (
            lambda: nn.SGD(nn.Linear(1, 1).parameters(), nesterov=True),
            "SGD: momentum is 0.0, expected 0 to 1, and more than 0 with nesterov",
        ),
        (
            lambda: nn.Linear(2, 3).load_state_dict("m.npz"),
            "Linear: state is 'm.npz', expected a dict of arrays",
        ),
        (lambda: nn.ReLU().to(None), "ReLU: dtype is None, expected float32 or float64"),
        (lambda: nn.ReLU().summary(32), "summary: shape is 32, expected (C, H, W)"),
        (lambda: nn.ReLU().summary((1, -3)), "summary: shape is -3, expected at least 1"),
        (
            lambda: nn.train_step(None, None, None, None),
            "train_step: model is None, expected a Module",
        ),
        (
            lambda: nn.train_step(nn.ReLU(), nn.SGD(nn.Linear(1, 1).parameters()), 0, 0),
            "train_step: optimizer has another model's parameters, expected this one's",
        ),
        (
            lambda: nn.Linear(2, 3).load_state_dict({"weight": np.zeros((3, 2))}),
            "Linear: state lacks bias, expected weight, bias",
        ),
        (
            lambda: nn.Linear(2, 1, bias=False).load_state_dict({"weight": np.zeros(2)}),
            "Linear: weight has shape (2,) and dtype float64, expected (1, 2) of float32",
        ),
    ],
)
def test_messages(call, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_summary():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 10),
    )  # fmt: skip
    assert model.summary((1, 8, 8)).splitlines() == [
        "layer                               result  parameters  multiply-adds",
        "0      Conv2d(1, 16, 3, padding=1)  16x8x8         160          9,216",
        "1      ReLU()                       16x8x8           0              0",
        "2      MaxPool2d(2)                 16x4x4           0              0",
        "3      Flatten()                    256              0              0",
        "4      Linear(256, 10)              10           2,570          2,560",
        "total                                            2,730         11,776",
    ]


def test_the_same_bits_on_any_threads():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.GELU(), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    x, labels = RNG.standard_normal((70, 1, 8, 8)).astype(np.float32), RNG.integers(0, 10, 70)
    found = []
    for threads in (1, 2, 3):
        model.initialize(0)
        optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            _, gradient = nn.cross_entropy(model.forward(x, threads), labels)
            model.backward(gradient, threads)
            optimizer.step()
        found.append((*model.state_dict().values(), model.predict(x, 7, threads=threads)))
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])
    assert_same_bits(model.predict(x[5:6]), found[0][-1][5:6])


@pytest.mark.parametrize("options", [
    {"padding": 1}, {"stride": 2, "padding": 1}, {"stride": 2, "padding": 1, "groups": 4},
    {"stride": 3, "padding": ((1, 2), (0, 1)), "groups": 2, "padding_mode": "edge"},
])  # fmt: skip
def test_what_a_layer_keeps_takes_new_weights(options):
    layer = nn.Conv2d(4, 8, 3, **options)
    for weights, width in ((1, 9), (2, 9), (np.nan, 9), (3, 12), (4, 9)):
        layer.weight.value[...] = weights * RNG.standard_normal(layer.weight.value.shape)
        x = RNG.standard_normal((2, 4, 11, width)).astype(np.float32)
        dy = np.ones_like(layer.forward(x))
        dx = layer.backward(dy)
        expected = conv2d_backward(dy, x, layer.weight.value, **options)
        assert_same_bits(dx, expected[0])
        assert_same_bits(layer.weight.grad, expected[1])


def test_copies_of_a_layer_are_as_small_as_it_is():
    layer = nn.Conv2d(64, 64, 3, padding=1)
    for width in range(3, 9):
        layer.backward(np.ones_like(layer.forward(np.ones((1, 64, 5, width), np.float32))))
    assert len(pickle.dumps(layer)) < 3 * layer.weight.value.nbytes
    other = copy.deepcopy(layer)
    x = np.ones((1, 64, 5, 5), np.float32)
    assert_same_bits(other.forward(x), layer.forward(x))


def test_layers_of_ones_own():
    class Thrice(nn.Module):
        def _forward(self, x, threads):
            return 3 * x

        def _backward(self, dy, threads, input_gradient):
            return 3 * dy

    model = nn.Sequential(nn.Linear(2, 2), Thrice())
    x = np.eye(2, dtype=np.float32)
    weight, bias = (each.value for each in model.parameters())
    assert_array_equal(model(x), 3 * (weight.T + bias))
    assert_array_equal(model.backward(x), 3 * x @ weight)
    with pytest.raises(TypeError, match="Net: forward is Module's, expected _forward: see Module"):

        class Net(nn.Module):
            def forward(self, x):
                return x


def test_labels_that_count_for_nothing():
    """PyTorch's NaN would spoil every weight."""
    loss, gradient = nn.cross_entropy(np.zeros((1, 3)), [0], weight=[0, 1, 1])
    assert loss == 0
    assert_array_equal(gradient, np.zeros((1, 3)))


@pytest.mark.parametrize("loss", [nn.mse, nn.binary_cross_entropy])
def test_losses_refuse_what_is_no_number(loss):
    y = np.full((2, 3), 0.5, np.float32)
    for pair, message in (
        ((y[:0], y[:0]), r"y has shape \(0, 3\), expected at least one number"),
        ((y, y.astype(str)), "target has dtype <U32, expected numbers"),
        ((y, y * 1j), "target has dtype complex64, expected numbers"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"{loss.__name__}: {message}"):
            loss(*pair)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "dilation": 3}])
def test_causal_series(options):
    """No output sees what comes after it; as `conv1d` has it."""
    layer = nn.Conv1d(3, 4, 5, padding="causal", **options).initialize(0)
    x = np.random.default_rng(0).standard_normal((2, 3, 30)).astype(np.float32)
    y = layer(x).copy()
    parameters = layer.weight.value, layer.bias.value
    assert_same_bits(y, conv1d(x, *parameters, padding="causal", **options))
    x[:, :, 20:] = 9
    seen = 20 // options.get("stride", 1)
    assert_same_bits(layer(x)[:, :, :seen], np.ascontiguousarray(y[:, :, :seen]))
    assert nn.Conv1d(1, 1, 3, padding="causal").output_shape((1, 1, 8)) == (1, 1, 8)
