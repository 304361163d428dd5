"""Training: PyTorch's loss curve, checkpoints to the bit, files, augmentation, what goes wrong."""

import json
import re
import signal
import struct
import threading

import numpy as np
import pytest
from helpers import assert_same_bits
from numpy.testing import assert_allclose, assert_array_equal

from fastconv import _config, nn
from fastconv.nn import serialization

RNG = np.random.default_rng(7)


def small_model(seed=0):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.2), nn.Linear(64, 10),
    ).initialize(seed)  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    (x, labels), (test_x, test_labels) = nn.digits()
    return x[:300], labels[:300], (test_x, test_labels)


def test_digits():
    (x, labels), (test_x, test_labels) = nn.digits()
    assert x.shape == (1438, 1, 8, 8) and test_x.shape == (359, 1, 8, 8)
    assert x.dtype == np.float32 and x.min() == 0 and x.max() == 1
    assert len(np.unique(np.concatenate([x, test_x]), axis=0)) == 1797
    assert set(np.bincount(test_labels)) <= {35, 36, 37}
    assert abs(np.bincount(labels) - 144).max() <= 5


def test_digits_are_learned():
    """Five epochs of the command's network; all of them reach 99 %."""
    

    (x, labels), test = nn.digits()
    model = nn.image_classifier(1, 8, 10).initialize(0)
    nn.fit(model, x, labels, epochs=5, batch_size=32, lr=3e-3, schedule="one_cycle", progress=False)
    assert nn.evaluate(model, *test)[1] > 0.96


def test_the_loss_curve_is_pytorchs(digits):
    torch = pytest.importorskip("torch")

    def make(m):
        return [
            m.Conv2d(1, 16, 3, padding=1), m.ReLU(), m.MaxPool2d(2), m.Conv2d(16, 32, 3, padding=1),
            m.ReLU(), m.Flatten(), m.Linear(512, 10),
        ]  # fmt: skip

    x, labels, _ = digits
    ours, theirs = nn.Sequential(*make(nn)).initialize(0), torch.nn.Sequential(*make(torch.nn))
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    optimizer = nn.SGD(ours.parameters(), lr=0.05, momentum=0.9)
    their_optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    losses, expected = [], []
    for step in range(50):
        batch = np.random.default_rng(step).integers(0, len(x), 64)
        losses.append(nn.train_step(ours, optimizer, x[batch], labels[batch]))
        their_optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            theirs(torch.from_numpy(x[batch])), torch.from_numpy(labels[batch])
        )
        loss.backward()
        their_optimizer.step()
        expected.append(loss.item())
    assert expected[-1] < 0.5
    assert_allclose(losses, expected, atol=1e-3)


def training(digits, epochs=3, **options):
    x, labels, validation = digits
    model = small_model()
    history = nn.fit(
        model, x, labels, epochs=epochs, batch_size=64, validation=validation, lr=0.01, seed=5,
        augment=nn.Augment(shift=1, noise=0.05), progress=False, **options,
    )  # fmt: skip
    return model, history


def test_the_same_seed_gives_the_same_bits_on_any_threads(digits):
    model, history = training(digits)
    for threads in (1, 2, 3):
        other, again = training(digits, threads=threads)
        assert again == history
        assert_same_bits(tuple(other.state_dict().values()), tuple(model.state_dict().values()))
    assert history.loss[-1] < history.loss[0]


def test_the_same_bits_on_every_instruction_set(digits, isa):
    model, history = training(digits, epochs=1)
    with _config.use_isa("scalar"):
        other, again = training(digits, epochs=1)
    assert again == history
    assert_same_bits(tuple(other.state_dict().values()), tuple(model.state_dict().values()))


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_checkpoint_goes_on_to_the_same_bits(digits, tmp_path, suffix, optimizer):
    path = tmp_path / f"checkpoint{suffix}"
    model, history = training(digits, optimizer=optimizer, schedule=nn.StepLR(0.01, 7))
    options = {"optimizer": optimizer, "schedule": nn.StepLR(0.01, 7), "checkpoint": path}
    _, half = training(digits, epochs=1, resume=True, **options)
    assert half.epochs == 1
    other, again = training(digits, resume=True, **options)
    assert again == history
    assert_same_bits(tuple(other.state_dict().values()), tuple(model.state_dict().values()))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    # There is nothing left to do.
    assert training(digits, resume=True, **options)[1] == history


def test_a_checkpoint_of_another_training(digits, tmp_path):
    path = tmp_path / "checkpoint.npz"
    training(digits, epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match=r"has optimizer 'Adam\(lr=0.01, .*, expected 'SGD\("):
        training(digits, checkpoint=path, resume=True, optimizer="sgd")
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = model.state_dict()
    with pytest.raises(ValueError, match="it is a checkpoint of another training"):
        nn.fit(model, *digits[:2], checkpoint=path, resume=True, seed=5, progress=False)
    assert_same_bits(tuple(model.state_dict().values()), tuple(before.values()))


def test_a_checkpoint_goes_on_with_the_same_arguments_alone(digits, tmp_path):
    path = tmp_path / "checkpoint.npz"
    x, labels, validation = digits
    options = {
        "epochs": 1, "batch_size": 64, "validation": validation, "schedule": "cosine", "seed": 1,
        "lr": 0.01, "augment": nn.Augment(shift=1), "checkpoint": path, "resume": True,
        "progress": False,
    }  # fmt: skip
    nn.fit(small_model(), x, labels, **options)
    whole = path.read_bytes()
    nn.fit(small_model(), x, labels, **options)
    for name, change, has in (
        ("batch_size", {"batch_size": 32}, "64, expected 32"),
        ("validation", {"validation": None}, r"'\(359, .*, expected None"),
        ("validation", {"validation": (x, labels)}, r"'\(359, .*, expected '\(300, "),
        ("schedule", {"epochs": 2}, "'cosine of 1 epochs', expected 'cosine of 2 epochs'"),
        ("schedule", {"schedule": nn.StepLR(0.1, 3)}, r".*, expected 'StepLR\(lr=0.1, gamma=0.1, "),
        ("optimizer", {"lr": 0.02}, r"'Adam\(lr=0.01, .*, expected 'Adam\(lr=0.02"),
        ("seed", {"seed": 2}, "1, expected 2"),
        ("loss", {"loss": lambda y, t: nn.cross_entropy(y, t)}, r"'cross_entropy\(.*lambda"),
        ("augment", {"augment": None}, r"'Augment\(flip=False, shift=1, .*, expected None"),
        ("keep_best", {"keep_best": False}, "True, expected False"),
        ("data", {"x": x + np.float32(1e-3)}, r"'\(300, 1, 8, 8\) of float32, CRC "),
        ("data", {"y": labels[::-1]}, r"'\(300, 1, 8, 8\) of float32, CRC "),
    ):
        model = small_model()
        before = model.state_dict()
        with pytest.raises(ValueError, match=f"^fit: .* has {name} {has}") as caught:
            nn.fit(model, **({"x": x, "y": labels} | options | change))
        assert "\n" not in str(caught.value)
        assert_same_bits(tuple(model.state_dict().values()), tuple(before.values()))
    assert path.read_bytes() == whole
    nn.Linear(2, 2).save(path)
    with pytest.raises(ValueError, match="is no checkpoint, expected a file that fit wrote"):
        nn.fit(small_model(), x, labels, **options)


def test_patience_is_kept_over_a_break(digits, tmp_path):
    x, labels, _ = digits
    options = {
        "epochs": 9, "validation": (x[:50], (labels[:50] + 1) % 10), "patience": 1, "lr": 0.01,
        "progress": False, "checkpoint": tmp_path / "c.npz", "resume": True,
    }  # fmt: skip
    history = nn.fit(small_model(), x, labels, **options)
    assert history.stopped == "patience" and history.epochs < 9
    assert nn.fit(small_model(), x, labels, **options) == history


def test_an_interruption_ends_after_the_batch(digits):
    def interrupt(model, history):
        if history.epochs == 2:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    _, history = training(digits, epochs=9, callbacks=[interrupt])
    assert (history.stopped, history.epochs) == ("interrupted", 2)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_ignored_interruption_stays_ignored(digits):
    def interrupt(model, history):
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _, history = training(digits, epochs=2, callbacks=[interrupt])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert (history.stopped, history.epochs) == ("", 2)


@pytest.mark.parametrize("rate", [None, np.nan, -1.0])
def test_schedules_give_rates(digits, rate):
    with pytest.raises((TypeError, ValueError), match="fit: schedule's result is "):
        training(digits, epochs=1, schedule=lambda step: rate)


def test_training_in_another_thread(digits):
    results = []
    thread = threading.Thread(target=lambda: results.append(training(digits, epochs=1)[1]))
    thread.start()
    thread.join()
    assert results == [training(digits, epochs=1)[1]]


def test_callbacks_patience_and_best_weights(digits):
    _, history = training(digits, callbacks=[lambda model, history: history.epochs == 2])
    assert (history.stopped, history.epochs) == ("callback", 2)
    x, labels, _ = digits
    model, states = small_model(), []
    wrong = (x[:50], (labels[:50] + 1) % 10)  # the better the model, the worse it gets
    history = nn.fit(
        model, x, labels, epochs=9, validation=wrong, patience=2, progress=False, lr=0.01,
        callbacks=[lambda model, history: states.append(model.state_dict())],
    )  # fmt: skip
    assert history.stopped == "patience"
    assert history.epochs == history.best_epoch + 3
    best = states[history.best_epoch]
    assert_same_bits(tuple(model.state_dict().values()), tuple(best.values()))


def test_uint8_images_are_scaled(digits):
    x, labels, _ = digits
    pixels = np.rint(x * 255).astype(np.uint8)
    results = []
    for images in (pixels, pixels.astype(np.float32) / np.float32(255)):
        model = small_model()
        nn.fit(model, images, labels, epochs=1, progress=False)
        results.append((*model.state_dict().values(), nn.evaluate(model, images, labels)))
    assert_same_bits(results[0][:-1], results[1][:-1])
    assert results[0][-1] == results[1][-1]


def test_a_model_without_gradients_stays_as_it_is():
    """zero_grad is for it: the gradients of its last step would be taken again."""
    models = [nn.Linear(2, 2).initialize(seed=seed) for seed in (0, 1)]
    optimizer = nn.SGD([each for model in models for each in model.parameters()], lr=0.1)
    x = np.ones((1, 2), np.float32)
    for model in models:
        model.forward(x)
        model.backward(x)
    optimizer.step()
    optimizer.zero_grad()
    before = [model.weight.value.copy() for model in models]
    models[0].backward(x)
    optimizer.step()
    moved = [(model.weight.value != old).all() for model, old in zip(models, before, strict=True)]
    assert moved == [True, False]
    assert (models[1].weight.value == before[1]).all()


def test_a_step_needs_an_optimizer(digits):
    with pytest.raises(TypeError, match=r"train_step: optimizer is 'sgd', expected one, as nn\.S"):
        nn.train_step(small_model(), "sgd", *digits[:2])


def test_evaluation_takes_lists(digits):
    x, labels, _ = digits
    model = small_model()
    assert nn.evaluate(model, x, labels.tolist()) == nn.evaluate(model, x, labels)
    for arguments, message in (
        ((x, labels[:5]), "evaluate: x has 300 samples and y 5, expected as many"),
        ((x, labels - 1), "evaluate: y has -1, expected 0 to 9"),
        ((x.astype("f8"), labels), "evaluate: x has dtype float64, expected float32, uint8"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            nn.evaluate(model, *arguments)
    with pytest.raises(ValueError, match="fit: x has 300 samples and y 1, expected as many"):
        nn.fit(model, x, 3)
    with pytest.raises(TypeError, match=r"fit: validation is an array .*, expected \(x, y\)"):
        nn.fit(model, x, labels, validation=x)


def test_progress(digits, capsys):
    x, labels, validation = digits
    nn.fit(small_model(), x, labels, epochs=2, validation=validation)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    number = r"\d+\.\d+"
    assert re.fullmatch(
        rf"epoch 1/2: loss {number}, accuracy {number}%; "
        rf"validation: loss {number}, accuracy {number}%",
        lines[0],
    )


def test_progress_on_a_terminal(digits, capsys, monkeypatch):
    x, labels, _ = digits
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    clock = iter(range(10**6))
    monkeypatch.setattr("fastconv.nn.training.time.monotonic", lambda: float(next(clock)))
    nn.fit(small_model(), x, labels, epochs=2, batch_size=150)
    shown = [text.strip() for text in capsys.readouterr().err.split("\r") if "left" in text]
    # Four batches, a second of this clock each.
    assert [text.split(", ")[2:] for text in shown] == [
        ["150 images per second", f"{left}.0 s left"] for left in (3, 2, 1, 0)
    ]
    assert [text.split(":")[0] for text in shown] == ["epoch 1/2"] * 2 + ["epoch 2/2"] * 2


def test_a_loss_that_is_not_a_number(digits):
    x, labels, _ = digits
    for spoil, message in (
        (lambda m: m[6].weight.value.fill(np.nan), "weight of layer 6 (Linear) is not finite"),
        (
            lambda m: m[0].bias.value.fill(3e38),
            "the result of layer 1 (BatchNorm2d) is the first that is not finite",
        ),
    ):
        model = small_model()
        optimizer = nn.SGD(model.parameters(), lr=0.1)
        spoil(model)
        nn_message = re.escape(message)
        with pytest.raises(FloatingPointError, match=f"the loss is nan at step 0; {nn_message}"):
            nn.train_step(model, optimizer, x[:8], labels[:8])
    bad = x[:8].copy()
    bad[3, 0, 2, 2] = np.inf
    model = small_model()
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match="x is not finite"):
        nn.train_step(model, optimizer, bad, labels[:8])


def test_a_validation_that_is_not_a_number(digits):
    """It is worse than any number: the best epoch is one that has a loss."""
    x, labels, _ = digits
    losses = iter([np.nan, 2.0, np.nan])

    class Spoiled(nn.Sequential):
        def predict(self, *args, **options):
            result = super().predict(*args, **options)
            return result if np.isfinite(next(losses)) else result * np.float32(np.nan)

    model = Spoiled(nn.Flatten(), nn.Linear(64, 10)).initialize(0)
    history = nn.fit(
        model, x[:50], labels[:50], epochs=3, validation=(x[50:60], labels[50:60]), progress=False
    )
    assert np.isnan(history.validation_loss).tolist() == [True, False, True]
    assert history.best_epoch == history.kept_epoch == 1


def test_validations_that_are_never_a_number_end(digits):
    x, labels, _ = digits
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).initialize(0)
    spoiled = np.full_like(x, np.nan)
    history = nn.fit(
        model, x, labels, epochs=9, validation=(spoiled, labels), patience=2, progress=False
    )
    assert (history.stopped, history.epochs, history.best_epoch) == ("patience", 3, 0)


def test_bad_targets_are_found_before_a_step(digits):
    x = digits[0]
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Sigmoid()).initialize(0)
    before, y = model.state_dict(), np.zeros((99, 1), np.float32)
    y[77] = 2
    for target, message in (
        (y, "fit: y has 0.0 to 2.0, expected probabilities from 0 to 1"),
        (y[:, 0], "fit: y has shape (99,), expected the result's, (99, 1)"),
        (y.astype(str), "fit: y has dtype <U32, expected numbers"),
        (np.float32(1), "fit: x has 99 samples and y 1, expected as many"),
    ):
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            nn.fit(model, x[:99], target, loss=nn.binary_cross_entropy, progress=False)
    with pytest.raises(TypeError, match="evaluate: loss is 'mse', expected a function"):
        nn.evaluate(model, x[:99], y, "mse")
    with pytest.raises(TypeError, match="fit: augment's result is None, expected"):
        nn.fit(model, x[:99], y[:, :1] * 0, loss=nn.mse, augment=lambda *_: None, progress=False)
    assert_same_bits(tuple(model.state_dict().values()), tuple(before.values()))


def test_images_of_bytes(digits):
    """predict takes them as fit does; what takes floats alone says how."""
    x, labels, _ = digits
    pixels = (255 * x[:40]).astype(np.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).initialize(0)
    nn.fit(model, pixels, labels[:40], epochs=1, progress=False)
    assert_same_bits(model.predict(pixels, 7), model.predict(pixels / np.float32(255)))
    optimizer = nn.SGD(model.parameters())
    for call in (model.forward, lambda each: nn.train_step(model, optimizer, each, labels[:40])):
        with pytest.raises(TypeError, match=r"uint8, .* of images np.float32\(x\) / 255"):
            call(pixels)


def test_losses_without_labels(digits, capsys):
    """No accuracy is claimed, and a target that does not fit is refused before a step."""
    x, labels, _ = digits
    x = x[:40].reshape(40, 64)
    model = nn.Linear(64, 64).initialize(0)
    history = nn.fit(model, x, x, epochs=2, loss=nn.mse, validation=(x, x))
    assert np.isnan([*history.accuracy, *history.validation_accuracy]).all()
    assert "accuracy" not in capsys.readouterr().err
    before = model.state_dict()
    message = "fit: validation's y has shape (40,), expected the result's, (40, "
    with pytest.raises(ValueError, match=re.escape(message)):
        nn.fit(model, x, x, loss=nn.mse, validation=(x, labels[:40]))
    assert_same_bits(tuple(model.state_dict().values()), tuple(before.values()))


def test_an_interrupted_epoch_is_no_kept_one(digits):
    x, labels, _ = digits

    class Interrupting(nn.Linear):
        def _backward(self, *args):
            if len(seen) == 3:
                signal.raise_signal(signal.SIGINT)
            seen.append(0)
            return super()._backward(*args)

    seen, model = [], nn.Sequential(nn.Flatten(), Interrupting(64, 10)).initialize(0)
    history = nn.fit(model, x[:64], labels[:64], epochs=9, progress=False)
    assert (history.stopped, history.epochs, len(history.steps)) == ("interrupted", 1, 4)
    assert (history.best_epoch, history.kept_epoch) == (0, -1)


def test_a_failed_step_leaves_statistics_alone(digits):
    """Batch normalisation sees the batch before anyone knows that the step fails."""
    x, labels, _ = digits
    model = small_model()
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    nn.train_step(model, optimizer, x[:8], labels[:8])
    before = model.state_dict()
    bad = x[:8].copy()
    bad[2, 0, 1, 1] = np.nan
    with pytest.raises(FloatingPointError, match="loss is nan at step 1; x is not finite"):
        nn.train_step(model, optimizer, bad, labels[:8])
    with pytest.raises(ValueError, match="labels has 10"):
        nn.train_step(model, optimizer, x[:8], np.full(8, 10))
    with pytest.raises(ValueError, match=r"layer 6 \(Linear\)"):
        nn.train_step(model, optimizer, np.ones((2, 1, 9, 20), np.float32), labels[:2])
    assert_same_bits(tuple(model.state_dict().values()), tuple(before.values()))
    assert int(before["1.num_batches_tracked"]) == 1
    nn.train_step(model, optimizer, x[:8], labels[:8])
    assert int(model.state_dict()["1.num_batches_tracked"]) == 2


def test_a_gradient_that_is_not_a_number():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    model.initialize(0)
    before = model.state_dict()
    x = np.full((1, 2), 1e30, np.float32)
    message = re.escape("at step 0 the gradient by weight of layer 1 (Linear) is the first")
    with pytest.raises(FloatingPointError, match=message):
        nn.train_step(model, optimizer, x, np.full((1, 1), 1e30), loss=nn.mse)
    assert_same_bits(tuple(model.state_dict().values()), tuple(before.values()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((3, 1, 8, 8), np.float32)}, "fit: x has 3 samples and y 2"),
        (
            {"x": np.zeros((2, 3, 8, 8), np.float32)},
            "layer 0 (Conv2d): x has shape (2, 3, 8, 8), expected (N, 1, H, W)",
        ),
        ({"y": np.array([0, 10])}, "fit: y has 10, expected 0 to 9 (10 classes)"),
        ({"x": np.zeros((2, 1, 8, 8))}, "fit: x has dtype float64, expected float32, uint8"),
        ({"epochs": 0}, "fit: epochs is 0, expected at least 1"),
        ({"batch_size": 2.0}, "fit: batch_size is 2.0, expected an integer"),
        ({"seed": -1}, "fit: seed is -1, expected at least 0"),
        ({"patience": 0}, "fit: patience is 0, expected at least 1"),
        ({"callbacks": [print, 3]}, "fit: callbacks is 3, expected a function"),
        ({"loss": "mse"}, "fit: loss is 'mse', expected a function"),
        ({"augment": True}, "fit: augment is True, expected a function"),
        ({"schedule": 0.1}, "fit: schedule is 0.1, expected a function"),
        ({"checkpoint": "c.pt"}, "fit: checkpoint c.pt ends in '.pt', expected .safetensors or"),
        ({"checkpoint": "no/c.npz"}, "fit: checkpoint is no/c.npz, expected a folder that exists"),
        ({"optimizer": "adagrad"}, "fit: optimizer is 'adagrad', expected one of sgd, adam, adamw"),
        ({"schedule": "linear"}, "fit: schedule is 'linear', expected one of cosine, one_cycle"),
        ({"resume": True}, "fit: resume needs a checkpoint, got none"),
        ({"threads": 0}, "Sequential: threads is 0, expected 1 to"),
    ],
)
def test_messages_of_fit(change, message):
    arguments = {"x": np.zeros((2, 1, 8, 8), np.float32), "y": np.array([0, 1]), "progress": False}
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        nn.fit(small_model(), **(arguments | change))


def every_layer():
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 1), padding=((1, 1), (0, 0)), groups=2), nn.BatchNorm2d(4),
        nn.LeakyReLU(0.2), nn.Residual(nn.Conv2d(4, 4, 1, bias=False), nn.SiLU(), nn.GELU()),
        nn.ConvTranspose2d(4, 3, 2, stride=2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(18, 5), nn.Softmax(),
    )  # fmt: skip


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_models_in_files(tmp_path, suffix, dtype):
    path = tmp_path / f"model{suffix}"
    model = every_layer().to(dtype)
    x = RNG.standard_normal((3, 2, 6, 7)).astype(dtype)
    model.forward(x)  # moves the statistics
    model.save(path, {"classes": ["a", "b"], "size": 8})
    other = nn.load(path)
    assert repr(other) == repr(model)
    assert other.metadata == {"classes": ["a", "b"], "size": 8}
    assert not other.training
    assert_same_bits(other.predict(x), model.predict(x))
    arrays = nn.read_arrays(path)
    assert list(arrays) == list(model.state_dict())


def test_what_json_does_not_know(tmp_path):
    path = tmp_path / "model.npz"
    nn.Sequential(nn.Conv2d(np.int64(2), np.int64(3), np.int32(1))).save(path, [np.float32(0.5)])
    assert nn.load(path).metadata == [0.5]
    for metadata, got in (({3}, r"has \{3\}"), ({(3,): 3}, "keys must be str, int")):
        with pytest.raises(TypeError, match=f"save: metadata {got}.*, expected what JSON holds"):
            nn.Linear(1, 1).save(path, metadata)
    assert nn.load(path).metadata == [0.5]
    nn.Linear(1, 1).save(path, {3: 0, "a": 1})
    assert nn.load(path).metadata == {"3": 0, "a": 1}


def test_layers_of_ones_own_are_not_saved(tmp_path):
    class Twice(nn.Linear):
        pass

    message = "save: Twice is no layer of fastconv.nn; np.savez(path, **model.state_dict()) keeps"
    with pytest.raises(TypeError, match=re.escape(message)):
        nn.Sequential(nn.Flatten(), Twice(4, 2)).save(tmp_path / "model.npz")
    assert not (tmp_path / "model.npz").exists()


def test_safetensors_read_our_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model = every_layer()
    model.save(tmp_path / "model.safetensors")
    theirs = safetensors.load_file(tmp_path / "model.safetensors")
    for key, array in model.state_dict().items():
        assert_array_equal(theirs[key], array)
    safetensors.save_file(model.state_dict(), tmp_path / "theirs.safetensors")
    model.load_state_dict(nn.read_arrays(tmp_path / "theirs.safetensors"))


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_damaged_files(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    nn.Linear(2, 3).save(path)
    whole = path.read_bytes()
    for length in (0, 5, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"load: .* is damaged or no model: "):
            nn.load(path)
    path.write_bytes(bytes(range(256)) * 8)
    with pytest.raises(ValueError, match="is damaged or no model"):
        nn.load(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_any_damage_is_one_line(tmp_path, suffix):
    """Bytes changed and cut anywhere: what is read is whole, or a ValueError says it is not."""
    path = tmp_path / f"model{suffix}"
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm2d(2), nn.ReLU())
    model.save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = whole.copy()
        data[rng.integers(0, len(data), rng.integers(1, 4))] = rng.integers(0, 256)
        end = rng.integers(0, len(data)) if rng.random() < 0.3 else None
        path.write_bytes(data[:end].tobytes())
        try:
            loaded = nn.load(path)
        except ValueError as error:
            assert str(error).startswith(f"load: {path} ") and "\n" not in str(error)
        else:
            assert repr(loaded) == repr(model)
            assert loaded.state_dict().keys() == model.state_dict().keys()
            assert_same_bits((*loaded.state_dict().values(),), (*model.state_dict().values(),))


def test_another_models_parameters():
    x, labels = np.eye(2, dtype=np.float32), np.array([0, 1])
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    with pytest.raises(ValueError, match="fit: optimizer has another model's parameters, expected"):
        nn.fit(model, x, labels, optimizer=nn.SGD(other.parameters(), 0.1))
    nn.fit(model, x, labels, optimizer=nn.SGD(model.parameters()[:1], 0.1), progress=False)
    for wrong in (nn.Linear, [model]):
        with pytest.raises(TypeError, match=r"fit: model is .*, expected a Module"):
            nn.fit(wrong, x, labels)
    with pytest.raises(TypeError, match="Linear: dtype is cuda, expected float32 or float64"):
        model.to("cuda")


def test_a_damaged_checkpoint(digits, tmp_path):
    path = tmp_path / "checkpoint.npz"
    training(digits, epochs=1, checkpoint=path)
    arrays, text = serialization.read(path)
    lacking = {key: array for key, array in arrays.items() if key != "model/6.bias"}
    for broken in (
        (lacking, text),
        ({key: arrays[key] for key in arrays if not key.startswith("optimizer/")}, text),
        (arrays | {"a/b": RNG.random(2)}, text),
        (arrays, text | {"history": {"losses": []}}),
        (arrays, {key: text[key] for key in text if key != "lr"}),
    ):
        serialization.write(path, *broken)
        with pytest.raises(ValueError, match=rf"fit: {path} is damaged: "):
            training(digits, checkpoint=path, resume=True)


def test_files_of_others(tmp_path):
    path = tmp_path / "model.safetensors"

    def write(header, body=b""):
        packed = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(packed)) + packed + body)

    write({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8))
    assert nn.read_arrays(path)["w"].tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"holds no layers, expected a file that model\.save"):
        nn.load(path)
    write({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, bytes(8))
    with pytest.raises(ValueError, match="w has 8 bytes"):
        nn.read_arrays(path)
    write({"w": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}, bytes(6))
    with pytest.raises(ValueError, match="BF16"):
        nn.read_arrays(path)
    write({"w": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}, bytes([0, 60, 0, 192]))
    assert nn.read_arrays(path)["w"].tolist() == [1, -2]
    layer = nn.Linear(2, 1, bias=False).load_state_dict({"weight": nn.read_arrays(path)["w"][None]})
    assert layer.weight.value.dtype == np.float32 and layer.weight.value.tolist() == [[1, -2]]
    for layer in ("fit", "Module", "Nothing", 3, None):
        text = {"format": "fastconv.nn 1", "model": {"layer": layer}}
        write({"__metadata__": {"fastconv": json.dumps(text)}})
        with pytest.raises(ValueError, match="describes no layer of this version"):
            nn.load(path)
    for header in ([], {"__metadata__": 3}, {"__metadata__": {"fastconv": "[1]"}}, {"w": 3}):
        write(header)
        with pytest.raises(ValueError, match="is damaged or no model: "):
            nn.load(path)
    path.write_bytes(struct.pack("<Q", 2**17) + b"[" * 2**17)
    with pytest.raises(ValueError, match="is damaged or no model: "):
        nn.load(path)
    for content, message in (
        ({"a": np.arange(3)}, "holds no layers"), (np.arange(3), "it is no zip archive"),
    ):  # fmt: skip
        with open(tmp_path / "foreign.npz", "wb") as file:
            (np.savez(file, **content) if isinstance(content, dict) else np.save(file, content))
        with pytest.raises(ValueError, match=message):
            nn.load(tmp_path / "foreign.npz")
    with pytest.raises(ValueError, match=r"ends in '\.txt', expected \.safetensors or \.npz"):
        nn.Linear(1, 1).save(tmp_path / "model.txt")
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_augmentation(dtype):
    x = RNG.integers(0, 256, (150, 3, 9, 8)).astype(np.uint8)
    x = x if dtype == "uint8" else (x / 255).astype(dtype)
    before = x.copy()
    everything = nn.Augment(flip=True, shift=2, crop=1, rotate=20, cutout=3, noise=0.1)
    y = everything(x, 3)
    assert_same_bits(x, before)
    for threads in (1, 2, 3):
        assert_same_bits(everything(x, 3, threads), y)
    assert (everything(x, 4) != y).any()
    assert_same_bits(nn.Augment()(x, 3), x)

    flipped = nn.Augment(flip=True)(x, 0)
    same = (flipped == x).all((1, 2, 3))
    assert 50 < same.sum() < 100
    assert_array_equal(flipped[~same], x[~same, ..., ::-1])

    shifted = nn.Augment(shift=1)(x, 0)[0]
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    assert any(
        (shifted == padded[:, i : i + 9, j : j + 8]).all() for i in range(3) for j in range(3)
    )
    cut = nn.Augment(cutout=3)(x, 0)
    changed = (cut != x).any(1).sum((1, 2))
    assert changed.max() <= 9 and not cut[cut != x].any()

    constant = np.full((70, 1, 9, 9), 100, dtype)
    rotated = nn.Augment(rotate=30)(constant, 0)
    assert_allclose(rotated[:, :, 3:6, 3:6], 100, rtol=1e-6)
    for call, message in (
        (lambda: nn.Augment(shift=-1), "Augment: shift is -1, expected at least 0"),
        (lambda: nn.Augment(crop=1.5), "Augment: crop is 1.5, expected an integer"),
        (lambda: nn.Augment(noise="1"), "Augment: noise is '1', expected a number"),
        (lambda: nn.Augment()(x, -1), "Augment: seed is -1, expected an integer of at least 0"),
        (lambda: nn.Augment()(x, 1, 0), "Augment: threads is 0, expected 1 to"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
