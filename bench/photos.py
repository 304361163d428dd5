"""python -m bench photos: a folder of JPEGs through fastconv's command and through OpenCV."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fastconv import kernels

from . import BenchError

KERNEL = "sharpen"
SIZE = 1080, 1920
QUALITY = 95
SUBJECTS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina",
            "immunohistochemistry")

# Mean difference, in grey levels, between the two results of a photograph: the filters agree,
# what is left is what two JPEG encodings differ by.
SAME = 2.0


def run(count, rounds):
    """Filter `count` photographs both ways, in turn; give the seconds of all rounds.

    Raises BenchError if a command fails, or if the two results differ.
    """
    with tempfile.TemporaryDirectory(prefix="fastconv-photos-") as name:
        folder = Path(name)
        photos = folder / "photos"
        make_photos(photos, count)
        kernel = folder / "kernel.npy"
        np.save(kernel, kernels.get(KERNEL).astype(np.float32))
        script = Path(__file__).with_name("photos_opencv.py")
        commands = {
            "fastconv": ["-m", "fastconv", "filter", KERNEL, photos, "-o", folder / "fastconv"],
            "opencv": [script, kernel, photos, folder / "opencv", str(QUALITY)],
        }
        seconds = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                shutil.rmtree(folder / name, ignore_errors=True)
                seconds[name].append(_time([sys.executable, *command], folder))
        difference = _difference(*(folder / name for name in commands))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {"count": count, "rounds": seconds, "seconds": medians, "difference": difference,
            "ratio": medians["opencv"] / medians["fastconv"]}


def describe(found):
    """Say what `run` found."""
    return "\n".join([
        f"photos: {found['count']} JPEGs of {SIZE[1]}x{SIZE[0]}, {KERNEL}, {os.cpu_count()} cores",
        *(f"{name:10} {seconds:7.2f} s  {found['count'] / seconds:6.1f} photos/s"
          for name, seconds in found["seconds"].items()),
        f"fastconv is {found['ratio']:.2f} times as fast",
    ])


def make_photos(folder, count):
    """Write JPEGs made of scikit-image's photographs, mirrored and shifted until they fill SIZE."""
    from PIL import Image
    from skimage import data

    folder.mkdir()
    random = np.random.default_rng(0)
    subjects = [getattr(data, name)() for name in SUBJECTS]
    for number in range(count):
        photo = subjects[number % len(subjects)]
        rows, columns = (
            np.resize(np.roll(np.r_[:n, n - 1 : -1 : -1], random.integers(2 * n)), size)
            for n, size in zip(photo.shape[:2], SIZE, strict=True)
        )
        picture = Image.fromarray(photo[rows[:, None], columns])
        picture.save(folder / f"{number:04}.jpg", quality=QUALITY)


def _time(command, folder):
    start = time.perf_counter()
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if result.returncode:
        last_line = (result.stderr.strip() or "no message").splitlines()[-1]
        raise BenchError(f"{' '.join(map(str, command[1:5]))} failed: {last_line}")
    return seconds


def _difference(ours, theirs):
    """Give the mean difference of the first pictures, having compared the names of all."""
    from PIL import Image

    names = [sorted(path.name for path in folder.iterdir()) for folder in (ours, theirs)]
    if names[0] != names[1]:
        raise BenchError(f"photos: {len(names[0])} results from fastconv, {len(names[1])} from "
                         "OpenCV, expected the same names")
    first, second = (
        np.asarray(Image.open(folder / names[0][0]), np.float32) for folder in (ours, theirs)
    )
    difference = float(np.abs(first - second).mean())
    if difference > SAME:
        raise BenchError(f"photos: the results differ by {difference:.1f} grey levels on average, "
                         f"expected at most {SAME}")
    return difference
