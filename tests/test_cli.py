"""The command as a user meets it: exit codes, one-line messages, files on disk."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from image_files import write_png
from PIL import Image
from skimage import data

from fastconv import _tiff, cli, kernels, reference
from fastconv._progress import clock


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/deep").mkdir(parents=True)
    Image.fromarray(data.coffee()).save(tmp_path / "photos/coffee.png")
    Image.fromarray(data.camera()).save(tmp_path / "photos/deep/camera.png")
    return tmp_path


@pytest.fixture
def fastconv(here, capsys, monkeypatch):
    """Run the command in this process; give (exit code, standard output, standard error)."""
    from PIL import Image

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def run(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def shell(*arguments, code="from fastconv.cli import main; raise SystemExit(main())", **options):
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            **options)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")
                  if path.is_file())


def test_filter_a_folder(fastconv, here):
    code, out, err = fastconv("filter", "sharpen", "photos", "-r", "-o", "out")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"out: 2 of 2 images in [\d.]+ s \([\d.]+ per second\)\n", out)
    assert files(here / "out") == ["coffee.png", "deep/camera.png"]
    for name, pixels, axis in (("coffee.png", data.coffee(), -1),
                               ("deep/camera.png", data.camera(), None)):
        with Image.open(here / "out" / name) as image:
            expected = reference.filter2d(pixels, kernels.get("sharpen"), channel_axis=axis)
            assert np.array_equal(np.asarray(image), expected)


def test_options_may_stand_anywhere(fastconv, here):
    code, *_ = fastconv("filter", "-o", "out", "sharpen", "photos/coffee.png", "--jobs", 1,
                        "photos/deep/camera.png")
    assert (code, files(here / "out")) == (0, ["camera.png", "coffee.png"])


def test_several_kernels_and_a_format(fastconv, here):
    np.save(here / "mine.npy", np.ones((1, 3), int))
    (here / "yours.txt").write_text("0 1 0\n1 1 1\n0 1 0\n")
    code, *_ = fastconv("filter", "mine.npy,yours.txt,gaussian:sigma=2,size=5", "photos",
                        "-o", "out", "--format", "tiff", "--scale", 0.2, "--delta", 1)
    assert code == 0
    assert files(here / "out") == ["gaussian-sigma=2-size=5/coffee.tiff", "mine/coffee.tiff",
                                   "yours/coffee.tiff"]
    with Image.open(here / "out/yours/coffee.tiff") as image:
        cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
        expected = reference.filter2d(data.coffee(), cross, channel_axis=-1, scale=0.2, delta=1)
        assert np.array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("kernel, option", [("sobel_x", "--abs"), ("sobel", "--magnitude")])
def test_edges(fastconv, here, kernel, option):
    assert fastconv("filter", kernel, "photos/deep", option, "-o", "out")[0] == 0
    gx, gy = (reference.filter2d(data.camera(), kernels.get(name), out_dtype=np.int16).astype(int)
              for name in ("sobel_x", "sobel_y"))
    response = abs(gx) if option == "--abs" else np.rint(np.sqrt(gx**2 + gy**2))
    with Image.open(here / "out/camera.png") as image:
        assert np.array_equal(np.asarray(image), np.minimum(response, 255))


def test_16_bit_grey_stays_16_bit(fastconv, here):
    pixels = data.camera().astype(np.uint16) * 257
    write_png(here / "deep.png", pixels, colour_type=0)
    assert fastconv("filter", "sharpen", "deep.png", "-o", "out")[0] == 0
    with Image.open(here / "out/deep.png") as image:
        expected = reference.filter2d(pixels, kernels.get("sharpen"))
        assert np.array_equal(np.asarray(image), expected)


def test_a_portrait_photo_comes_out_upright(fastconv, here):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(data.coffee()).save(here / "phone.jpg", exif=exif, quality=90)
    assert fastconv("filter", "identity", "phone.jpg", "-o", "out", "--format", "png")[0] == 0
    with Image.open(here / "phone.jpg") as stored, Image.open(here / "out/phone.png") as image:
        assert image.getexif()[0x0112] == 1
        assert np.array_equal(np.asarray(image), np.rot90(np.asarray(stored), -1))


def test_broken_files_are_named_and_the_rest_goes_on(fastconv, here):
    Image.fromarray(data.coffee()).save(here / "photos/cut.jpg")
    (here / "photos/cut.jpg").write_bytes((here / "photos/cut.jpg").read_bytes()[:9999])
    (here / "photos/text.png").write_text("hello")
    write_png(here / "photos/rgb16.png", np.zeros((4, 5, 3), np.uint16), colour_type=2)
    code, out, err = fastconv("filter", "sharpen", "photos", "-o", "out")
    assert code == 1
    assert out.startswith("out: 1 of 4 images") and out.endswith(", 3 failed\n")
    lines = sorted(err.splitlines())
    assert len(lines) == 3
    for line, name, reason in zip(lines, ("cut.jpg", "rgb16.png", "text.png"),
                                  ("truncated", "16-bit TIFF", "not a PNG"), strict=True):
        assert line.startswith(f"fastconv filter: photos/{name}: ".replace("/", os.sep))
        assert reason in line
    assert files(here / "out") == ["coffee.png"]


def test_failures_that_are_alike_are_counted(fastconv, here):
    for i in range(15):
        (here / f"photos/text{i}.png").write_text("hello")
        Image.fromarray(data.logo()[:9, :9]).save(here / f"photos/clear{i}.png")
    code, _, err = fastconv("filter", "sharpen", "photos", "-o", "out", "--format", "jpg")
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 22
    clear, text = sorted(lines[-2:])
    assert clear.startswith(f"fastconv filter: 5 more like {Path('photos/clear')}")
    assert text.startswith(f"fastconv filter: 5 more like {Path('photos/text')}")
    assert clear.endswith("; --skip-existing --dry-run lists all that is left")
    options = ("--skip-existing", "--dry-run", "--format", "jpg")
    assert fastconv("filter", "sharpen", "photos", "-o", "out", *options)[1].count("\n") == 30


def test_a_file_that_is_no_image_by_name(fastconv, here):
    (here / "notes.txt").write_text("hello")
    code, _, err = fastconv("filter", "sharpen", "notes.txt", "photos/coffee.png", "-o", "out")
    assert code == 1 and "notes.txt: not a PNG" in err
    assert files(here / "out") == ["coffee.png"]


@pytest.mark.parametrize("arguments, message", [
    (["sharpn", "photos"], "did you mean sharpen"),
    (["nan.txt", "photos"], "nan in row 1, column 1"),
    (["sharpen", "nowhere.png"], "no such file or folder: nowhere.png"),
    (["sharpen", ""], "no such file or folder: ''"),
    (["sharpen", "empty"], "no images found in empty (-r looks into subfolders)"),
    (["sharpen", "empty"], "; PNG, JPEG, TIFF, WebP and BMP are read"),
    (["sharpen", "photos", "-o", ""], "argument -o/--output: the name is empty"),
    (["sharpen", "*.gif"], "no images match *.gif"),
    (["sharpen", "photos/coffee.png", "other/coffee.png"], "both become"),
    (["sharpen", "photos", "--quality", "0"], "'0' is not a whole number from 1 to 100"),
    (["sharpen", "photos", "--jobs", "none"], "--jobs"),
    (["sharpen", "photos", "--border", "mirrored"], "--border"),
    (["sharpen", "photos", "--scale", "wide"], "--scale"),
    (["sharpen", "photos", "--scale", "nan"], "--scale"),
    (["sharpen", "photos", "--abs", "--magnitude"], "not allowed with"),
    (["box", "photos", "--magnitude"], "at right angles"),
    (["median", "photos", "--abs"], "median has none"),
    (["median:sigma=2", "photos"], "median has no parameter 'sigma', expected size"),
    (["sharpen"], "INPUT"),
])
def test_what_does_not_start(fastconv, here, arguments, message):
    (here / "empty").mkdir()
    (here / "other").mkdir()
    (here / "nan.txt").write_text("nan 1\n")
    Image.fromarray(data.camera()).save(here / "other/coffee.png")
    code, out, err = fastconv("filter", "-o", "out", *arguments)
    assert (code, out) == (2, "")
    assert message in err and err.startswith("fastconv") and err.count("\n") == 1
    assert not (here / "out").exists()


def test_an_output_folder_that_cannot_be_made(fastconv, here):
    (here / "file").write_text("in the way")
    code, out, err = fastconv("filter", "sharpen", "photos", "-r", "-o", "file/out")
    assert (code, out) == (2, "")
    assert err.startswith("fastconv: cannot make the folder file") and err.count("\n") == 1


def test_what_is_hidden_is_in_the_summary(fastconv, here):
    (here / "photos/.thumbs").mkdir()
    code, out, _ = fastconv("filter", "sharpen", "photos", "-r", "-o", "out")
    assert code == 0 and out.endswith(" per second); hidden files and folders passed over: 1\n")


def test_overwriting_is_refused(fastconv, here):
    arguments = ("filter", "identity", "photos", "-o", "out")
    assert fastconv(*arguments)[0] == 0
    (here / "out/coffee.png").write_bytes(b"mine")
    code, _, err = fastconv(*arguments)
    assert code == 2 and "--overwrite" in err and err.count("\n") == 1
    code, out, _ = fastconv(*arguments, "--skip-existing")
    assert code == 0 and re.search(r"; done before: \d+$", out.strip())
    assert (here / "out/coffee.png").read_bytes() == b"mine"
    assert fastconv(*arguments, "--overwrite")[0] == 0
    with Image.open(here / "out/coffee.png") as image:
        assert np.array_equal(np.asarray(image), data.coffee())
    assert fastconv("filter", "identity", "photos", "-o", "photos", "--overwrite")[0] == 2


def test_dry_run(fastconv, here):
    code, out, _ = fastconv("filter", "sharpen,box", "photos", "-r", "-o", "out", "--dry-run")
    assert code == 0 and not (here / "out").exists()
    assert [line.replace(os.sep, "/") for line in out.splitlines()] == [
        "photos/coffee.png -> out/sharpen/coffee.png",
        "photos/coffee.png -> out/box/coffee.png",
        "photos/deep/camera.png -> out/sharpen/deep/camera.png",
        "photos/deep/camera.png -> out/box/deep/camera.png",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="its file names have no such letters")
def test_names_do_nothing_to_the_terminal(fastconv, here):
    for name in ("two\nlines.png", "\x1b[31mred.png", "\u202egnp.png"):
        (here / "photos" / name).write_text("hello")
    code, out, err = fastconv("filter", "sharpen", "photos", "-o", "out")
    assert (code, out.count("\n")) == (1, 1)
    assert sorted(err.splitlines()) == [
        f"fastconv filter: photos/{name}.png: not a PNG, JPEG, TIFF, WebP or BMP image"
        for name in (r"\u202egnp", r"\x1b[31mred", r"two\nlines")
    ]
    out = fastconv("filter", "sharpen", "photos", "-o", "other", "--dry-run")[1]
    assert r"photos/two\nlines.png -> other/two\nlines.png" in out.splitlines()
    code, _, err = fastconv("filter", "sharpen", "none\nsuch", "-o", "other")
    assert (code, err) == (2, "fastconv: no such file or folder: none\\nsuch\n")
    assert fastconv("filter", "sharpen", "--\x1b")[2].startswith(r"fastconv filter: ")


@pytest.mark.parametrize("named", [True, False])
def test_damaged_tiffs_are_one_line(here, named):
    """By libtiff's own setting; by the descriptor it writes to where its names are not known."""
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        path = here / f"photos/{compression}.tif"
        Image.fromarray(data.coffee()).save(path, compression=compression)
        content = bytearray(path.read_bytes())
        content[9000:9400] = bytes(400)
        path.write_bytes(content)
    code = f"""
import os, sys
from fastconv import _tiff, cli
if not {named}:
    _tiff.silence = lambda: False
code = cli.main()
os.write(2, b"another library's message" if _tiff.silence() else b"")
sys.exit(code)
"""
    process = shell("filter", "sharpen", "photos", "-o", "out", code=code, cwd=here)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    others = ["another library's message"] if named and _tiff.silence() else []
    assert sorted(err.splitlines()) == others + [
        f"fastconv filter: photos/{name}.tif: damaged, truncated or not supported"
        for name in ("tiff_adobe_deflate", "tiff_lzw")
    ]


def test_readers_log_nothing(here):
    path = here / "photos/samples.tif"
    Image.fromarray(data.coffee()[:9, :9]).save(path)
    content = path.read_bytes()
    tag = content.index((277).to_bytes(2, "little"))
    path.write_bytes(content[: tag + 8] + b"\xff" + content[tag + 9 :])
    process = shell("filter", "sharpen", "photos", "-o", "out", cwd=here)
    assert process.communicate(timeout=60)[1].count("\n") == process.returncode == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [
    ["kernels"], ["--help"], ["info"], ["filter", "sharpen", "photos", "-o", "out"],
])
def test_output_that_cannot_be_written(here, arguments):
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "fastconv", *arguments], stdout=full, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONUNBUFFERED": ""})
    assert process.returncode == 2
    assert process.stderr == "fastconv: cannot write the output: No space left on device\n"


def test_output_that_is_no_file(monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert cli.main(["kernels"]) == 2
    assert capsys.readouterr().err.startswith("fastconv: cannot write the output: No space left")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells")
@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_closed_streams(here, closed):
    code = f"""
import sys
sys.{closed} = None
from fastconv.cli import main
sys.exit(main())
"""
    process = shell("filter", "sharpen", "photos", "-o", "out", code=code, cwd=here)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.count("\n") == (closed == "stderr")


def test_too_large_images(fastconv, here):
    code, _, err = fastconv("filter", "sharpen", "photos", "-o", "out", "--max-pixels", 1000)
    assert code == 1 and "bomb" in err and "--max-pixels" in err
    assert fastconv("filter", "sharpen", "photos", "-o", "out", "--max-pixels", 10**9)[0] == 0


def test_listing_kernels(fastconv):
    code, out, _ = fastconv("kernels")
    heading, *lines = out.splitlines()
    assert code == 0 and heading.startswith("name ")
    assert [line.split()[0] for line in lines] == list(kernels.names())
    gaussian = next(line for line in lines if line.startswith("gaussian"))
    assert "9x9" in gaussian and gaussian.endswith("[sigma size]")


def test_version_info_and_help(fastconv):
    import fastconv as package

    assert fastconv("--version")[:2] == (0, f"fastconv {package.__version__}\n")
    code, out, _ = fastconv("info")
    assert code == 0 and re.search(r"^isa +\w+$", out, re.M)
    code, out, _ = fastconv("filter", "--help")
    assert code == 0 and "gaussian:sigma=2" in out
    assert fastconv()[0] == 2
    code, _, err = fastconv("fliter")
    assert code == 2 and err.count("\n") == 1


def test_python_dash_m():
    command = [sys.executable, "-m", "fastconv", "--version"]
    assert subprocess.run(command, capture_output=True, text=True).stdout.startswith("fastconv ")


@pytest.mark.parametrize("missing, package", [("PIL", "Pillow"), ("tifffile", "tifffile")])
@pytest.mark.parametrize("arguments", [["filter", "sharpen", "photos", "-o", "out"], ["demo"]])
def test_without_the_extra(here, missing, package, arguments):
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from fastconv.cli import main
sys.exit(main())
"""
    process = shell(*arguments, code=code, cwd=here)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == (f"fastconv: images need {package}, which comes with: "
                   'python -m pip install "fastconv[cli]"\n')
    assert not (here / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(here, number):
    for i in range(400):
        os.link(here / "photos/coffee.png", here / f"photos/{i:03}.png")
    process = shell("filter", "gaussian:sigma=6", "photos", "-o", "out", cwd=here)
    deadline = time.monotonic() + 60
    while not (here / "out").is_dir() or not files(here / "out"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err == "fastconv filter: interrupted; the same command with --skip-existing goes on\n"
    done = int(re.match(r"out: (\d+) of 401 images", out)[1])
    assert 0 < done < 401
    written = files(here / "out")
    assert len(written) == done
    assert all(name.endswith(".png") for name in written)
    for name in written:
        with Image.open(here / "out" / name) as image:
            image.load()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_interrupt_of_a_filter_that_takes_minutes(here):
    np.save(here / "large.npy", np.random.default_rng(0).normal(size=(1001, 1001)))
    Image.fromarray(np.tile(data.coffee(), (6, 6, 1))).save(here / "photos/coffee.png")
    process = shell("filter", "identity,large.npy", "photos", "-o", "out", cwd=here)
    while not (here / "out").is_dir() or not files(here / "out/identity"):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert out.startswith("out: 0 of 1 images")
    assert err == "fastconv filter: interrupted; the same command with --skip-existing goes on\n"
    assert files(here / "out") in (["identity/coffee.png"], [])


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_progress_on_a_terminal(here):
    import pty

    for i in range(60):
        os.link(here / "photos/coffee.png", here / f"photos/{i:03}.png")
    (here / "photos/text.png").write_text("hello")
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastconv", "filter", "sharpen", "photos", "-o", "out"],
        cwd=here, stdout=subprocess.PIPE, stderr=writer, text=True)
    os.close(writer)
    shown = b""
    while True:
        try:
            shown += os.read(reader, 4096)
        except OSError:  # the other end is closed
            break
    os.close(reader)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.count("\n") == 1
    lines = shown.decode().replace("\r\n", "\n").split("\r")
    assert re.match(r"\d+/62 images, [\d.]+ per second, [\d.:]+( s)? left", lines[1].strip())
    assert "photos/text.png: not a PNG" in shown.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_stops_reading():
    process = shell("kernels")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 0


def test_file_names_that_are_no_text(here):
    if sys.platform != "linux":
        pytest.skip("only Linux allows them")
    os.link(here / "photos/coffee.png", os.fsencode(here / "photos") + b"/caf\xe9.png")
    process = shell("filter", "sharpen", "photos", "-o", "out", "--dry-run", cwd=here)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "caf" in out


@pytest.mark.parametrize("seconds, text", [(3.21, "3.2 s"), (75.2, "1:15"), (3725, "1:02:05")])
def test_clock(seconds, text):
    assert clock(seconds) == text
