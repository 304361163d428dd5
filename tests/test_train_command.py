"""`fastconv train` and `fastconv predict`, and the pictures of networks."""

import io
import re
import signal
import sys
import warnings

import numpy as np
import pytest
import tifffile
from helpers import run_python
from numpy.testing import assert_array_equal
from PIL import Image

from fastconv import _train, cli, nn, plot

PICTURES = ["confusion.png", "feature_maps.png", "filters.png", "saliency.png", "training.png"]


@pytest.fixture
def fastconv(tmp_path, capsys, monkeypatch):
    """Run the command in this process; give (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_train_and_predict_digits(fastconv, tmp_path):
    code, out, err = fastconv("train", "-o", "out", "--epochs", 4)
    assert code == 0
    assert len(err.splitlines()) == 4
    accuracy = float(re.search(r"test accuracy: (.+)% of 359 images", out)[1])
    assert accuracy > 90
    table = [line.split() for line in out.splitlines() if re.match(r"\d ", line)]
    counts = np.array([[0 if cell == "." else int(cell) for cell in row[1:]] for row in table])
    assert counts.shape == (10, 10) and counts.sum() == 359
    assert abs(np.trace(counts) / 359 - accuracy / 100) < 1e-3
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted([*PICTURES, "checkpoint.safetensors", "model.safetensors"])
    for name in PICTURES:
        with Image.open(tmp_path / "out" / name) as image:
            assert min(image.size) > 200

    model = nn.load(tmp_path / "out/model.safetensors")
    (x, labels), _ = nn.digits()
    right = 0
    for i in range(20):
        Image.fromarray(np.uint8(x[i, 0] * 255)).save("digit.png")
        code, out, err = fastconv("predict", "out/model.safetensors", "digit.png")
        assert (code, err) == (0, "")
        match = re.fullmatch(r"digit.png: (\d) [\d.]+%, \d [\d.]+%, \d [\d.]+%\n", out)
        pixels = np.uint8(x[i : i + 1] * 255) / np.float32(255)
        assert int(match[1]) == model.predict(pixels).argmax()
        right += int(match[1]) == labels[i]
    assert right > 15
    Image.fromarray(255 - np.uint8(x[19, 0] * 255)).save("inverse.png")
    assert fastconv("predict", "out/model.safetensors", "inverse.png", "--invert")[1].startswith(
        f"inverse.png: {match[1]} "
    )

    code, out, err = fastconv("train", "-o", "out")
    assert (code, out) == (2, "")
    assert err == (
        "fastconv: out/model.safetensors exists already; --overwrite replaces it, "
        "--resume goes on\n"
    )
    code, out, err = fastconv("train", "-o", "out", "--epochs", 4, "--resume")
    assert (code, err) == (0, "")
    assert f"test accuracy: {accuracy}%" in out


def test_train_on_a_folder(fastconv, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name, colour in (("red", (220, 60, 60)), ("green", (60, 220, 60))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(15):
            pixels = np.clip(rng.normal(colour, 30, (20, 30, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    (tmp_path / "data/red/notes.txt").write_text("no image")
    code, out, _ = fastconv("train", "data", "-o", "out", "--epochs", 12, "--size", 16)
    assert code == 0
    assert "test accuracy: 100.0% of 6 images" in out
    model = nn.load("out/model.safetensors")
    assert model.metadata == {"classes": ["green", "red"], "size": 16, "channels": 3}
    (tmp_path / "broken.png").write_bytes(b"no image")
    code, out, err = fastconv("predict", "out/model.safetensors", "data/red/3.png", "broken.png")
    assert code == 1
    assert out.startswith("data/red/3.png: red ")
    assert err == ("fastconv predict: broken.png: not a PNG, JPEG, TIFF, WebP or BMP image\n")
    for given in ("data/red", "data/red/*.png"):
        code, out, err = fastconv("predict", "out", given)
        assert (code, err, out.count("\n")) == (0, "", 15)
    code, out, err = fastconv("predict", "out/model.safetensors", "*.gif", "none.png", "data")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "fastconv predict: no images match *.gif",
        "fastconv predict: no such file or folder: none.png",
        "fastconv predict: no images found in data",
    ]
    code, out, err = fastconv("predict", "out/model.safetensors", "none.png", "data/red/3.png")
    assert (code, err) == (1, "fastconv predict: no such file or folder: none.png\n")
    assert out.startswith("data/red/3.png: red ")


def test_images_that_cannot_be_read_are_named_and_left_out(fastconv, tmp_path):
    write_images(tmp_path / "data", {"a": 5, "b": 3})
    (tmp_path / "data/a/bad\nname\x1b[31m.png").write_text("hello")
    for i in range(12):
        (tmp_path / f"data/b/empty{i:02}.png").touch()
    code, out, err = fastconv("train", "data", "-o", "out", "--epochs", 2, "--size", 8)
    assert code == 1 and "of 2 images" in out and "; images left out: 13\n" in out
    lines = [line for line in err.splitlines() if not line.startswith("epoch")]
    assert lines[0] == (
        "fastconv train: data/a/bad\\nname\\x1b[31m.png: not a PNG, JPEG, TIFF, WebP or BMP image"
    )
    assert lines[1:11] == [
        f"fastconv train: data/b/empty{i:02}.png: the file is empty" for i in range(10)
    ]
    assert lines[11:] == ["fastconv train: 2 more like data/b/empty00.png"]
    seen = []
    x, labels, _ = nn.image_folder("data", 8, failed=lambda *found: seen.append(found))
    assert x.shape == (8, 3, 8, 8) and labels.tolist() == [0] * 5 + [1] * 3 and len(seen) == 13
    with pytest.raises(ValueError, match=r"image_folder: data/a/bad\nname.*: not a PNG, JPEG"):
        nn.image_folder("data")
    for i in range(3):
        (tmp_path / f"data/b/{i}.png").write_text("hello")
    code, _, err = fastconv("train", "data", "-o", "other")
    assert code == 2 and not (tmp_path / "other").exists()
    assert "image_folder: data has 2 subfolders, and no images in b; expected" in err


def write_images(folder, counts):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (9, 8), (20 * i, 9, 9)).save(folder / name / f"{i}.png")


def test_images_of_every_kind(tmp_path):
    """16 bits, transparency and palettes as viewers show them; else one line that says why."""
    from fastconv.nn.data import read_image

    def read(array, name="x.png", channels=1, **options):
        path = tmp_path / name
        (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(path, **options)
        return read_image(path, 1, channels)[:, 0, 0].tolist()

    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for picture in (ramp, np.uint16(ramp) * 257, np.dstack([ramp, ramp * 0 + 255])):
        read(picture)
        assert_array_equal(read_image(tmp_path / "x.png", 8, 1)[0], ramp)
    assert read(np.full((3, 4), 257 * 99, np.uint16)) == [99]
    assert read(np.full((3, 4), 257 * 99, np.uint16), channels=3) == [99] * 3
    assert read(np.full((3, 4, 4), (10, 110, 210, 255), np.uint8), channels=3) == [10, 110, 210]
    assert read(np.full((3, 4, 4), (10, 110, 210, 0), np.uint8), channels=3) == [255] * 3
    assert read(np.full((3, 4, 4), (0, 55, 155, 51), np.uint8), channels=3) == [204, 215, 235]
    assert read(np.full((3, 4, 2), (5, 0), np.uint8)) == [255]
    assert read(Image.new("P", (3, 3), 0)) == [0]
    assert read(Image.new("1", (3, 3), 1)) == [255]
    assert read(Image.new("RGB", (3, 3), (7, 7, 7)), "x.jpg") == [7]
    tifffile.imwrite(tmp_path / "x.tif", np.full((3, 4, 3), 257 * 8, np.uint16), photometric="rgb")
    assert read_image(tmp_path / "x.tif", 2, 3).tolist() == [[[8, 8]] * 2] * 3
    tifffile.imwrite(tmp_path / "f.tif", np.zeros((3, 4), np.float32))
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    for name, reason in (
        ("f.tif", "its pixels are float32, expected 8 or 16 bits"), ("cut.png", "^damaged"),
        ("empty.png", "is empty"), ("none.png", "^No such file"), (".", "^Is a directory"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=reason) as caught:
            read_image(tmp_path / name, 8, 3)
        assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_one_line(fastconv, tmp_path, monkeypatch):
    write_images(tmp_path / "data", {"a": 2, "b": 2})
    for limit in (50, 20):  # Pillow warns of the one and raises for the other
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        code, out, err = fastconv("train", "data")
        assert (code, out, err.count("\n")) == (2, "", 5)
        assert re.match(r"fastconv train: data/a/0.png: .* decompression bomb\n", err)


def test_a_class_of_one_image_is_learned(fastconv, tmp_path):
    write_images(tmp_path / "data", {"many": 6, "one": 1, "two": 2})
    ((_, labels), (_, tested)), classes = _train._folder(tmp_path / "data", 8, False)
    assert classes == ["many", "one", "two"]
    assert np.bincount(labels).tolist() == [4, 1, 1]
    assert np.bincount(tested, minlength=3).tolist() == [2, 0, 1]
    code, out, _ = fastconv("train", "data", "-o", "out", "--epochs", 1, "--size", 8)
    assert code == 0 and "of 3 images" in out
    write_images(tmp_path / "few", {"a": 1, "b": 1})
    code, _, err = fastconv("train", "few")
    assert (code, err) == (2, "fastconv: few has 2 images, expected at least two of a class\n")


def test_an_interrupted_training_is_not_overwritten(fastconv, tmp_path, monkeypatch):
    (x, labels), test = nn.digits()
    few = (x[:90], labels[:90]), (test[0][:30], test[1][:30])
    monkeypatch.setattr(_train.nn, "digits", lambda: few)
    fit = nn.fit

    def interrupted(*args, **options):
        def interrupt(model, history):
            if history.epochs == 1:
                signal.raise_signal(signal.SIGINT)

        return fit(*args, callbacks=interrupt, **options)

    monkeypatch.setattr(_train.nn, "fit", interrupted)
    assert fastconv("train", "-o", "out", "--epochs", 2)[0] == 130
    monkeypatch.setattr(_train.nn, "fit", fit)
    path = tmp_path / "out/checkpoint.safetensors"
    half = path.read_bytes()
    code, _, err = fastconv("train", "-o", "out", "--epochs", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "checkpoint.safetensors exists already; --overwrite replaces it, --resume goes" in err
    code, _, err = fastconv("train", "-o", "out", "--epochs", 3, "--resume")
    assert (code, err.count("\n")) == (2, 1)
    assert "has schedule 'one_cycle of 2 epochs', expected 'one_cycle of 3 epochs'" in err
    assert path.read_bytes() == half
    assert fastconv("train", "-o", "out", "--epochs", 2, "--resume")[0] == 0
    assert fastconv("train", "-o", "whole", "--epochs", 2)[0] == 0
    for name in ("checkpoint.safetensors", "model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    monkeypatch.setattr(_train.nn, "fit", interrupted)
    code, _, err = fastconv("train", "-o", "out", "--epochs", 3, "--overwrite")
    assert code == 130 and "the same command with --resume in place of --overwrite goes" in err
    assert not (tmp_path / "out/model.safetensors").exists()  # it was of another training


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none"], "image_folder: none is no folder"),
        (["train", "empty"], "image_folder: empty has 2 subfolders, and no images in a, b"),
        (["train", "--epochs", "0"], "'0' is not a whole number from 1"),
        (["predict", "none.npz", "x.png"], "No such file or directory: 'none.npz'"),
        (["predict", "linear.npz", "x.png"], "linear.npz says nothing of classes"),
        (["predict", "odd.npz", "x.png"], "odd.npz says nothing of classes"),
        (["predict", "text.npz", "x.png"], "text.npz is damaged or no model: it is no zip archive"),
        (["predict", "text", "x.png"], "text is damaged or no model"),
        (["predict", "empty", "x.png"], "No such file or directory: 'empty/model.safetensors'"),
        (["train", "--seed", "-1"], "seed is -1, expected an integer of at least 0"),
        (["train", "--lr", "-1"], "lr is -1.0, expected at least 0"),
        (["train", "full", "--size", "3"], "image_classifier: size is 3, expected at least 4"),
        (["train", "-o", "text"], "cannot make the folder text: File exists"),
    ],
)
def test_what_does_not_start(fastconv, tmp_path, arguments, message):
    for name in "ab":
        (tmp_path / "empty" / name).mkdir(parents=True)
    write_images(tmp_path / "full", {"a": 2, "b": 2})
    nn.Linear(2, 2).save(tmp_path / "linear.npz")
    nn.Linear(2, 2).save(tmp_path / "odd.npz", {"classes": 3, "size": "big", "channels": None})
    for name in ("text.npz", "text"):
        (tmp_path / name).write_text("neither a model nor a folder")
    code, out, err = fastconv(*arguments)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1


def test_interrupted(fastconv, monkeypatch):
    history = nn.History(loss=[1.0], stopped="interrupted")
    monkeypatch.setattr(_train.nn, "fit", lambda *args, **options: history)
    code, _, err = fastconv("train", "-o", "out")
    assert code == 130
    assert err == "fastconv train: interrupted; the same command with --resume goes on\n"


def test_without_matplotlib(fastconv, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = fastconv("train", "-o", "out", "--epochs", 1)
    assert code == 0
    assert out.splitlines()[-1] == f"model: {tmp_path / 'out'}"
    assert "matplotlib comes with" in err.splitlines()[-1]
    with pytest.raises(ImportError, match=r"fastconv\[plot\]"):
        plot.training(nn.History())


def test_a_rate_that_is_too_high_is_one_line(fastconv, tmp_path):
    """On the way to what is not finite nothing warns."""
    write_images(tmp_path / "data", {"a": 5, "b": 5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for lr in ("1e9", "1e30"):
            arguments = ("--lr", lr, "--size", 8, "--epochs", 4, "--batch-size", 2)
            code, _, err = fastconv("train", "data", "-o", f"out{lr}", *arguments)
            *epochs, last = err.splitlines()
            assert all(line.startswith("epoch ") for line in epochs)
            if lr == "1e30":
                assert (code, last[:34]) == (2, "fastconv: train_step: the loss is ")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_full_disk_is_one_line(tmp_path):
    write_images(tmp_path / "data", {"a": 3, "b": 3})
    run_python(f"""
        import contextlib, io, os, resource
        from fastconv import cli, nn
        os.chdir({str(tmp_path)!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))
        with contextlib.redirect_stderr(io.StringIO()) as err:
            code = cli.main(["train", "data", "-o", "out", "--epochs", "1", "--size", "8"])
        expected = "fastconv: File too large: 'out/checkpoint.safetensors'\\n"
        assert (code, err.getvalue()) == (2, expected)
        assert os.listdir("out") == []
    """)


def test_curve():
    assert _train.curve([1, 1e-1, 1e-2]) == "█▅▁"
    assert _train.curve([1, 1]) == "▁▁"


def test_pictures():
    pytest.importorskip("matplotlib")
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    image = np.random.default_rng(0).random((3, 8, 8), np.float32)
    figure = plot.filters(model[0])
    assert len(figure.axes) == 4 and figure.axes[0].images[0].get_array().shape == (5, 5, 3)
    assert len(plot.filters(np.ones((3, 2, 3, 3))).axes) == 6
    figure = plot.feature_maps(model, image)
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0] + [1] * 8
    assert model.training
    history = nn.History([2.0, 1], [0.5, 0.6], [2.0, 1.5], [0.4, 0.5], [], 1)
    labels = [text.get_text() for text in plot.training(history).axes[0].get_legend().texts]
    assert labels == ["training, 1 at last", "validation, 1.5 at last", "least loss, epoch 2"]
    for kept, label in ((1, "epoch 2, kept"), (0, "epoch 2; kept is epoch 1")):
        history.kept_epoch = kept
        legend = plot.training(history).axes[0].get_legend()
        assert legend.texts[-1].get_text() == f"least loss, {label}"
    figure = plot.confusion([0, 1, 1], np.eye(3)[[0, 1, 2]], ["a", "b", "$x_$"])
    figure.savefig(io.BytesIO())
    assert figure.axes[0].get_title() == "66.7% of 3 right"
    right = plot.saliency(model, image, label=2).axes[1]
    gradient = model[3].weight.value[2].reshape(4, 4, 4) * (model[0](image[None])[0] > 0)
    kernels = model[0].weight.value[..., ::-1, ::-1]
    assert right.images[0].get_array().shape == (8, 8)
    assert np.isclose(
        abs(right.images[0].get_array()[0, 0]),
        max(abs((gradient[:, 0, 0, None] * kernels[:, :, 4, 4]).sum(0))),
    )


def test_pictures_of_fused_activations_leave_the_model_alone():
    pytest.importorskip("matplotlib")
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.SiLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.GELU(),
        nn.Flatten(), nn.Linear(64, 3), nn.GELU(),
    ).initialize(0)  # fmt: skip
    model[2].eval()
    modes, before = [module.training for module in model.modules()], model.state_dict()
    image = np.random.default_rng(0).random((1, 8, 8), np.float32)
    shown = plot.saliency(model, image, label=1).axes[1].images[0].get_array()
    plot.feature_maps(model, image)
    assert [module.training for module in model.modules()] == modes
    assert all((model.state_dict()[key] == before[key]).all() for key in before)
    step = np.zeros_like(image)
    step[0, 3, 4] = 1e-2
    above, below = (model.predict((image + sign * step)[None])[0, 1] for sign in (1, -1))
    assert np.isclose(shown[3, 4], (above - below) / 2e-2, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.confusion([3], np.eye(3)[:1]), "confusion: labels has 3, expected 0 to 2"),
        (lambda: plot.confusion([0, 1], np.eye(3)), "confusion: labels has shape (2,), expected ("),
        (lambda: plot.confusion([0], np.ones(3)), "confusion: results has shape (3,), expected (N"),
        (lambda: plot.confusion([0], np.eye(3)[:1], ["a"]), "classes has 1 names, expected 3"),
        (lambda: plot.training(None), "training: history is None, expected a History"),
        (lambda: plot.filters(nn.Linear(2, 2)), "filters: layer has weights (2, 2), expected (K, "),
        (lambda: plot.filters(nn.ReLU()), "filters: layer is ReLU(), expected a Conv2d, as model"),
        (lambda: plot.filters(np.ones((1, 1, 2, 2)), 0), "filters: most is 0, expected at least 1"),
        (lambda: plot.confusion([0], np.eye(3)[:1], 3), "classes is 3, expected their names"),
        (lambda: plot.saliency(None, np.ones((1, 4, 4))), "saliency: model is None, expected a"),
        (
            lambda: plot.feature_maps(nn.ReLU(), np.ones((1, 4, 4))),
            "feature_maps: model is ReLU(), expected a Sequential",
        ),
        (
            lambda: plot.saliency(nn.Flatten(), np.ones((1, 4, 4)), 16),
            "saliency: label is 16, expected at most 15",
        ),
        (
            lambda: plot.saliency(nn.ReLU(), np.ones((1, 4, 4))),
            "saliency: model gives (1, 1, 4, 4), expected scores, (1, K)",
        ),
        (
            lambda: plot.saliency(nn.Flatten(), np.ones((4, 4))),
            "saliency: image has shape (4, 4), expected (C, H, W)",
        ),
    ],
)
def test_messages_of_pictures(call, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        call()


def test_the_command_line_imports_no_training():
    run_python("""
        import sys
        from fastconv import cli
        assert not {"fastconv.nn", "fastconv.plot", "matplotlib"} & set(sys.modules)
    """)
