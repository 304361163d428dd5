"""What one would write with OpenCV: photos_opencv.py KERNEL.npy FOLDER OUT QUALITY."""

import os
import sys
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np


def filter_one(source, kernel, target, quality):
    image = cv2.filter2D(cv2.imread(str(source)), -1, kernel)
    cv2.imwrite(str(target / source.name), image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def main(kernel, folder, target, quality):
    target = Path(target)
    target.mkdir()
    work = partial(filter_one, kernel=np.load(kernel), target=target, quality=int(quality))
    # One process per core: each runs OpenCV on one thread.
    with Pool(os.cpu_count(), cv2.setNumThreads, [1]) as pool:
        for _ in pool.imap_unordered(work, sorted(Path(folder).iterdir()), chunksize=4):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
