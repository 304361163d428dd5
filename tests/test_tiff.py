"""TIFF in all its kinds: 16 bits and floats stay what they are, or the file is refused."""

import numpy as np
import pytest
import tifffile
from image_files import values
from PIL import Image
from skimage import data

from fastconv import images


@pytest.fixture
def photo():
    return data.coffee()


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(31, 17), (31, 17, 3)])
def test_deep_tiff_round_trip(tmp_path, dtype, shape, byteorder):
    pixels = (np.random.default_rng(1).random(shape) * 30000).astype(dtype)
    kind = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "deep.tif", pixels, photometric=kind, byteorder=byteorder)
    picture = images.read(tmp_path / "deep.tif")
    assert picture.pixels.dtype == dtype
    images.write(picture, tmp_path / "out.tif")
    written = tifffile.imread(tmp_path / "out.tif")
    assert written.dtype == dtype
    assert np.array_equal(written, pixels)


def test_deep_tiff_with_everything(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 65536, (9, 14, 4), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "in.tif", np.moveaxis(pixels, -1, 0), photometric="rgb",
        planarconfig="separate", extrasamples=["ASSOCALPHA"], compression="zlib",
        iccprofile=b"profile", resolution=(118.11, 118.11), resolutionunit="CENTIMETER",
        extratags=[(274, "H", 1, 6, True)],
    )
    picture = images.read(tmp_path / "in.tif")
    assert (picture.colours, picture.alpha, picture.icc) == (3, True, b"profile")
    assert np.array_equal(picture.pixels, np.rot90(pixels, -1))
    images.write(picture, tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        page = tiff.pages[0]
        assert page.extrasamples[0] == tifffile.EXTRASAMPLE.ASSOCALPHA
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.iccprofile == b"profile"
        assert page.get_resolution("INCH") == pytest.approx((300, 300), rel=1e-4)
        assert 274 not in page.tags or page.tags[274].value == 1
        assert np.array_equal(page.asarray(), np.rot90(pixels, -1))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "jpeg", "tiff_adobe_deflate"])
def test_8_bit_tiff_compressions(tmp_path, photo, compression):
    Image.fromarray(photo).save(tmp_path / "in.tif", compression=compression)
    picture = images.read(tmp_path / "in.tif")
    with Image.open(tmp_path / "in.tif") as image:
        assert np.array_equal(values(picture), np.asarray(image))
    assert picture.lossless


def test_bilevel_tiff(tmp_path):
    pixels = data.horse()
    Image.fromarray(pixels).save(tmp_path / "in.tif", compression="group4")
    assert np.array_equal(images.read(tmp_path / "in.tif").pixels, pixels * np.uint8(255))


@pytest.mark.parametrize("dtype", ["uint32", "int8", "complex64", "float16"])
def test_other_tiff_types_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), dtype), photometric="minisblack")
    with pytest.raises(images.ImageError, match=f"{dtype} pixels"):
        images.read(tmp_path / "a.tif")


def test_inverted_deep_tiff_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), "uint16"), photometric="miniswhite")
    with pytest.raises(images.ImageError, match=r"MINISWHITE .* make it grey .0: black. or RGB"):
        images.read(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("photometric", "channels", "extra"),
    [("rgb", 5, ["unspecified"] * 2), ("rgb", 4, ["unspecified"]),
     ("rgb", 5, ["unassalpha", "unspecified"]), ("minisblack", 2, ["unspecified"])],
)  # fmt: skip
def test_samples_without_a_meaning_are_refused(tmp_path, dtype, photometric, channels, extra):
    """Nothing is left out without a word; 16 bits keep one, as alpha."""
    path = tmp_path / "more.tif"
    pixels = np.ones((4, 5, channels), dtype)
    kind = {"photometric": photometric, "planarconfig": "contig"}
    tifffile.imwrite(path, pixels, extrasamples=extra, **kind)
    if dtype == "uint16" and len(extra) == 1:
        assert images.read(path).pixels.shape == pixels.shape
        return
    with pytest.raises(images.ImageError, match=f"with {channels} samples per pixel is not"):
        images.read(path)


@pytest.mark.parametrize("options", [{"imagej": True}, {}])
def test_stacks_are_refused(tmp_path, options):
    stack = np.zeros((3, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", stack, photometric="minisblack", **options)
    with pytest.raises(images.ImageError, match="has 3 pages"):
        images.read(tmp_path / "in.tif")


def test_a_compression_without_decoder_names_the_package(tmp_path):
    deep = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30))
    deep.save(tmp_path / "lzw.tif", compression="tiff_lzw")
    try:
        picture = images.read(tmp_path / "lzw.tif")
    except images.ImageError as error:
        assert str(error).endswith("python -m pip install imagecodecs")
    else:  # imagecodecs is installed
        assert np.array_equal(picture.pixels, np.asarray(deep))


def test_a_predictor_without_decoder_names_the_package(tmp_path):
    """The compression has one."""
    pixels = np.zeros((4, 5), np.float32)
    kind = {"photometric": "minisblack", "compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(60000, "H", 1, 3, True)], **kind)
    content = (tmp_path / "a.tif").read_bytes()
    codes = [code.to_bytes(2, "little") for code in (60000, 317)]
    (tmp_path / "a.tif").write_bytes(content.replace(*codes))
    try:
        images.read(tmp_path / "a.tif")
    except images.ImageError as error:
        assert str(error) == "reading it needs: python -m pip install imagecodecs"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("code", "value"), [(256, None), (257, None), (257, 0), (258, 0), (273, 2**62)]
)
def test_damaged_tags(tmp_path, dtype, code, value):
    """One that is missing, of no pixels, of no bits, of a strip in no place."""
    path = tmp_path / "a.tif"
    kind = {"photometric": "minisblack", "metadata": None, "bigtiff": True}
    tifffile.imwrite(path, np.zeros((4, 5), dtype), **kind)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[code]
    content = bytearray(path.read_bytes())
    if value is None:
        content[tag.offset : tag.offset + 2] = b"zz"
    else:
        content[tag.valueoffset : tag.valueoffset + 8] = value.to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(images.ImageError, match=r"^damaged, truncated or not supported$"):
        images.read(path)
