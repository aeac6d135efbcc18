"""Any mode and orientation -> upright RGB."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from dseg.errors import DsegError
from dseg.photos.photo import as_rgb

ORIENTATION = 0x0112
# What a viewer does to the stored pixels (EXIF 2.3, table 6), written out.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, 1),
}


@pytest.fixture
def pixels() -> np.ndarray:
    """A picture without any symmetry, 5 x 7."""
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_every_orientation_is_turned_upright(pixels, orientation, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as image:
        np.testing.assert_array_equal(as_rgb(image), UPRIGHT[orientation](pixels))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"])
def test_opaque_black_and_white_stay_what_they_are(mode):
    image = Image.new("RGB", (4, 3), "white")
    image.paste("black", (0, 0, 2, 3))
    middle = "RGBA" if mode in ("RGBa", "PA") else "RGB"
    converted = image.convert(middle).convert("P" if mode == "PA" else mode).convert(mode)
    rgb = as_rgb(converted)
    assert rgb.dtype == np.uint8 and rgb.shape == (3, 4, 3)
    assert (rgb[:, :2] == 0).all() and (rgb[:, 2:] == 255).all()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV"])
def test_other_colour_spaces_are_converted(mode):
    image = Image.new(
        mode, (4, 3), tuple([90, 160, 120, 0][: len(Image.new(mode, (1, 1)).getbands())])
    )
    rgb = as_rgb(image)
    np.testing.assert_array_equal(rgb, np.array(image.convert("RGB")))
    assert rgb.shape == (3, 4, 3)


def test_transparency_is_laid_on_white(tmp_path):
    see_through = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    see_through.putpixel((1, 0), (200, 0, 0, 128))
    rgb = as_rgb(see_through)
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[0, 1].tolist() == pytest.approx([227, 127, 127], abs=1)
    palette = Image.new("P", (2, 1), 3)
    palette.info["transparency"] = 3
    assert (as_rgb(palette) == 255).all()
    assert (as_rgb(Image.new("LA", (2, 1), (0, 0))) == 255).all()


def test_deep_grey_is_scaled_and_not_cut_off(tmp_path):
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(values).save(path)
    with Image.open(path) as image:
        assert as_rgb(image)[0, :, 0].tolist() == [0, 1, 128, 255]
    for dtype in (np.int32, np.float32):
        image = Image.fromarray(np.array([[-5, 0, 5]], dtype=dtype))
        assert as_rgb(image)[0, :, 1].tolist() == [0, 128, 255]
        assert (as_rgb(Image.fromarray(np.full((2, 2), 7, dtype=dtype))) == 0).all()


def test_what_has_no_picture_is_an_error():
    with pytest.raises(DsegError, match="NaN"):
        as_rgb(Image.fromarray(np.array([[0, np.nan]], dtype=np.float32)))
    with pytest.raises(DsegError, match="without pixels"):
        as_rgb(Image.new("RGB", (0, 3)))


@pytest.mark.parametrize("mode", ["L", "I;16", "F", "RGBA"])
def test_little_is_held_beside_the_image_and_the_result(mode):
    image = Image.new(mode, (4000, 3000), 7)
    tracemalloc.start()  # of numpy's arrays, not of Pillow's images
    try:
        made = as_rgb(image)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < made.nbytes + 40_000_000
