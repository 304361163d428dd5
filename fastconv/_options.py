"""What the command line accepts: the parsers of all commands and their help."""

import argparse
import math

from fastconv import __version__
from fastconv._progress import visible

_FILTER_EPILOG = """\
KERNEL is
  NAME                  from the library, see: fastconv kernels
  NAME:key=value,...    with parameters: gaussian:sigma=2
  FILE                  .npy, or text with rows of numbers (# starts a comment)
  FILTER:key=value,...  median, minimum, maximum, erode, dilate, opening, closing, top_hat,
                        black_hat, morphological_gradient (size=3; erode and dilate also take
                        iterations), percentile:q=90 and rank:rank=0 (also with size)
  A,B,C                 several; each writes into its own folder OUTDIR/A, OUTDIR/B, ...

Outputs keep their place below the folders given, or below the part of a quoted pattern
before its first wildcard. 16-bit and floating images keep their type, EXIF orientation is
applied, alpha is not filtered; colour profile, EXIF, resolution, JPEG comments and PNG text
are kept where the format of the output has a place for them, XMP, TIFF descriptions and EXIF
into TIFF are not. CMYK becomes sRGB; other pixels that cannot be kept are refused. The exit
code is 0, or 1 if a file failed, 2 if nothing was started, 130 on Ctrl-C.

examples
  fastconv filter sharpen photo.jpg -o out
  fastconv filter gaussian:sigma=2,emboss photos -r -o out
  fastconv filter median:size=5 scans -o clean
  fastconv filter sobel --magnitude 'photos/**/*.png' -o edges
  fastconv filter sobel_x --delta 128 photos -o slopes --format png
"""
_BORDERS = ("reflect", "edge", "symmetric", "wrap", "constant")


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{visible(f'{self.prog}: {message}')} (see {self.prog} --help)\n")


def build_parsers():
    """Give the parser of the whole command line, and those of the commands by name."""
    parser = _Parser(prog="fastconv", description="Filter folders of images, fast.")
    parser.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _add_filter(commands)
    commands.add_parser("kernels", help="list the kernels: name, size, what they show")
    demo = commands.add_parser(
        "demo", help="filter a small photo eight ways and show a CNN layer, on one sheet",
        description="Filter a small photo with eight kernels and a CNN layer, write one contact "
        "sheet, and print the time of each step beside that of the NumPy reference.",
    )
    demo.add_argument("-o", "--output", metavar="FILE", type=_named,
                      help="the sheet (default fastconv-demo.png)")
    demo.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    _add_train(commands)
    _add_predict(commands)
    commands.add_parser("info", help="show what is in use: instruction set, threads, versions")
    return parser, commands.choices


def _add_filter(commands):
    parser = commands.add_parser(
        "filter", help="filter files and folders of images", epilog=_FILTER_EPILOG,
        description="Filter PNG, JPEG, TIFF, WebP and BMP images with a kernel, in parallel.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kernel", metavar="KERNEL", help="name, file, or several; see below")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="file, folder or quoted glob")
    parser.add_argument("-o", "--output", metavar="OUTDIR", required=True,
                        type=_named, help="folder to write into, made if missing")
    parser.add_argument("-r", "--recursive", action="store_true", help="look into subfolders too")
    _add_response(parser)
    _add_output(parser)
    _add_machine(parser)


def _add_train(commands):
    parser = commands.add_parser(
        "train", help="train a small CNN, on digits that come along or on a folder of images",
        description="Train a small convolutional network, and write model.safetensors and pictures "
        "of it: filters, feature maps, the training, the confusion matrix, saliency. Without "
        "FOLDER it learns 1,797 handwritten digits (UCI, CC BY 4.0).",
    )
    parser.add_argument("folder", metavar="FOLDER", nargs="?",
                        help="has a subfolder of images for each class; a fifth is for the test; "
                        "what cannot be read is left out")
    parser.add_argument("-o", "--output", metavar="OUTDIR", default="fastconv-train",
                        type=_named, help="folder to write into (default fastconv-train)")
    parser.add_argument("--epochs", type=_from_1_to(2**31), default=30, metavar="N",
                        help="how often every image is seen (default 30)")
    parser.add_argument("--batch-size", type=_from_1_to(2**31), default=32, metavar="N",
                        help="images of a step (default 32)")
    parser.add_argument("--lr", type=_finite, default=3e-3, metavar="R",
                        help="the highest learning rate (default 0.003)")
    parser.add_argument("--size", type=_from_1_to(1024), default=32, metavar="N",
                        help="images of FOLDER become so many pixels wide and high (default 32)")
    parser.add_argument("--grey", action="store_true", help="and grey instead of coloured")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="the same one gives the same bits (default 0)")
    parser.add_argument("--threads", type=_from_1_to(4096), metavar="N")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--overwrite", action="store_true", help="replace the model in OUTDIR")
    group.add_argument("--resume", action="store_true",
                       help="go on from the checkpoint in OUTDIR, if there is one")


def _add_predict(commands):
    parser = commands.add_parser(
        "predict", help="say what a trained network takes images for",
        description="Print the most probable classes of each image.",
    )
    parser.add_argument("model", metavar="MODEL", help="model.safetensors or OUTDIR of train")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="file, folder or quoted glob")
    parser.add_argument("--invert", action="store_true",
                        help="black for white: digits are learned white on black")
    parser.add_argument("--threads", type=_from_1_to(4096), metavar="N")


def _add_response(parser):
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--abs", dest="response", action="store_const", const="abs",
                       default="signed", help="write the absolute value of the response")
    group.add_argument("--magnitude", dest="response", action="store_const", const="magnitude",
                       help="write sqrt(gx^2 + gy^2) of a gradient: sobel, prewitt, ...")
    parser.add_argument("--scale", type=_finite, default=1, metavar="S",
                        help="multiply the response, after --abs or --magnitude, by S (default 1)")
    parser.add_argument("--delta", type=_finite, default=0, metavar="D",
                        help="then add D: 128 shows negative responses of 8-bit images")
    parser.add_argument("--border", default="reflect", choices=_BORDERS, metavar="NAME",
                        help=f"beyond the edge: {', '.join(_BORDERS)} (default reflect)")


def _add_output(parser):
    parser.add_argument("--format", choices=("png", "jpg", "tiff", "webp", "bmp"),
                        help="write this format (default: that of the input's name)")
    parser.add_argument("--quality", type=_from_1_to(100), default=95, metavar="Q",
                        help="of JPEG and lossy WebP, 1 to 100 (default 95)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--overwrite", dest="existing", action="store_const", const="overwrite",
                       default="refuse", help="replace outputs that exist")
    group.add_argument("--skip-existing", dest="existing", action="store_const", const="skip",
                       help="leave outputs that exist, to go on after an interruption")
    parser.add_argument("--dry-run", action="store_true",
                        help="print what would be written, and stop")


def _add_machine(parser):
    parser.add_argument("-j", "--jobs", type=_from_1_to(4096), metavar="N",
                        help="images at once (default: as many as cores)")
    parser.add_argument("--threads", type=_from_1_to(4096), metavar="N",
                        help="threads for each image (default: the cores that jobs leave)")
    parser.add_argument("--max-pixels", type=_from_1_to(2**62), metavar="N",
                        help="refuse larger images (default 89478485)")


def _named(text):
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def _finite(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _from_1_to(highest):
    def number(text):
        try:
            value = int(text)
        except ValueError:
            value = 0
        if not 1 <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {highest}")
        return value
    return number
