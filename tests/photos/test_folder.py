"""Finding, naming and reading somebody's own images."""

import os
import zlib

import numpy as np
import pytest
from PIL import Image

from dseg.errors import DsegError
from dseg.photos.folder import SUFFIXES, PhotoFile, find_photos, read_photo

# Of the pictures with odd metadata, those that nothing turns.
FLAT = ("samsung_landscape", "png_rawprofile_bad")


def make(path, size=(6, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 200, 30)).save(path, **options)
    return path


def names(files):
    return [file.name for file in files]


def test_results_mirror_the_folders(tmp_path):
    for name in ("b/x.jpg", "a/x.jpg", "a/deep/x.png", "y.PNG"):
        make(tmp_path / "in" / name)
    found = find_photos([tmp_path / "in"], tmp_path / "out")
    assert names(found) == ["y", "a/x", "a/deep/x", "b/x"]
    assert all(file.path.is_file() and not file.problem for file in found)
    both = find_photos([tmp_path / "in" / "b", tmp_path / "in" / "a" / "x.jpg"], tmp_path / "out")
    assert names(both) == ["b/x", "a/x"]
    assert names(find_photos([tmp_path / "in" / "a" / "x.jpg"], tmp_path)) == ["x"]


def test_no_two_images_have_one_name(tmp_path):
    for name in ("x.jpg", "x.png", "X.gif", "y.jpg"):
        make(tmp_path / name)
    assert names(find_photos([tmp_path], tmp_path / "out")) == ["X.gif", "x.jpg", "x.png", "y"]
    make(tmp_path / "x.png.jpg")
    found = names(find_photos([tmp_path], tmp_path / "out"))
    assert len({name.casefold() for name in found}) == 5


def test_a_file_that_is_named_twice_is_one(tmp_path):
    path = make(tmp_path / "x.jpg")
    again = tmp_path / "." / ".." / tmp_path.name
    assert len(find_photos([path, tmp_path, again], tmp_path / "out")) == 1


def test_what_is_not_searched(tmp_path):
    for name in ("x.jpg", "._x.jpg", ".hidden/y.jpg", "out/x_mask.png"):
        make(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(find_photos([tmp_path], tmp_path / "out")) == ["x"]
    assert ".heic" in SUFFIXES  # found, to be told that it is not read


def test_every_path_is_accounted_for(tmp_path):
    make(tmp_path / "in" / "x.jpg")
    (tmp_path / "in" / "nothing.jpg").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "pipe")
    paths = [tmp_path / name for name in ("missing.jpg", "in", "empty", "gone.jpg", "pipe")]
    found = {file.path.name: file for file in find_photos(paths, tmp_path / "out")}
    assert {name: file.problem for name, file in found.items()} == {
        "missing.jpg": "no such file",
        "nothing.jpg": "an empty file",
        "x.jpg": "",
        "empty": "a folder without images",
        "gone.jpg": "no such file",
        "pipe": "neither a file nor a folder",
    }
    assert [file.name for file in found.values() if file.name] == ["in/x"]
    (only,) = find_photos([tmp_path / "missing.jpg"], tmp_path)
    assert only.problem == "no such file"


def test_reading_turns_upright_and_says_so(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    path = make(tmp_path / "x.jpg", exif=exif)
    photo = read_photo(find_photos([path], tmp_path)[0])
    assert photo.image.shape == (6, 4, 3) and photo.orientation == 8
    assert read_photo(find_photos([make(tmp_path / "y.png")], tmp_path)[0]).orientation == 1


def damaged(path):
    """Writers of files that are no whole images, by the reason that is given."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    return {
        "cut.jpg": (whole[: len(whole) // 2], "damaged or not readable"),
        "text.png": (b"not an image at all", "not an image of a known format"),
        "zeros.jpg": (bytes(500), "not an image of a known format"),
        "photo.HEIC": (b"\0\0\0\x18ftypheic", "convert it to JPEG or PNG"),
        "raw.cr2": (b"raw", "develop it to JPEG or PNG"),
        "drawing.svg": (b"<svg/>", "not a raster image"),
    }


@pytest.mark.parametrize(
    "name", ["cut.jpg", "text.png", "zeros.jpg", "photo.HEIC", "raw.cr2", "drawing.svg"]
)
def test_what_cannot_be_read_says_why_in_one_line(name, tmp_path):
    content, reason = damaged(tmp_path / "whole.jpg")[name]
    (tmp_path / name).write_bytes(content)
    (file,) = find_photos([tmp_path / name], tmp_path / "out")
    with pytest.raises(DsegError, match=reason) as error:
        read_photo(file)
    assert "\n" not in str(error.value)


def test_any_damage_is_an_error_that_names_itself(tmp_path):
    """Bytes of images of six formats changed at random: read, or a DsegError, and nothing else."""
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    refused = 0
    for suffix in (".png", ".jpg", ".gif", ".tif", ".bmp", ".webp"):
        path = tmp_path / f"x{suffix}"
        picture.save(path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            broken = whole.copy()
            broken[rng.integers(0, len(whole), 8)] = rng.integers(0, 256, 8)
            broken[rng.integers(0, 40, 1)] = rng.integers(0, 256, 1)
            path.write_bytes(broken.tobytes())
            try:
                assert read_photo(find_photos([path], tmp_path)[0]).image.ndim == 3
            except DsegError:
                refused += 1
    assert refused > 20


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(tmp_path):
    """A small file of 13,300 x 13,300 pixels, whose body is never looked at."""
    path = tmp_path / "bomb.png"
    Image.new("1", (8, 8)).save(path)
    whole = bytearray(path.read_bytes())
    whole[16:24] = (13_300).to_bytes(4, "big") * 2
    whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4, "big")
    path.write_bytes(whole)
    (file,) = find_photos([path], tmp_path)
    with pytest.raises(DsegError, match=r"too large: more than 110,000,000 .*13,300 x 13,300"):
        read_photo(file)
    (small,) = find_photos([make(tmp_path / "large.png", size=(300, 200))], tmp_path)
    assert read_photo(small, most_pixels=60_000).image.shape == (200, 300, 3)
    with pytest.raises(DsegError, match="too large: more than 59,999 pixels"):
        read_photo(small, most_pixels=59_999)


def test_a_pipe_under_the_name_of_a_photo_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(DsegError, match="not a regular file"):
        read_photo(PhotoFile(tmp_path / "x.png", "x"))


def test_metadata_that_cannot_be_written_back_is_no_damage(shared):
    """A portrait is turned by its orientation whatever else its EXIF block holds."""
    folder = shared / "data" / "faults" / "exif"
    for path in sorted(folder.glob("*.*")):
        height, width = (120, 200) if path.stem in FLAT else (200, 120)
        assert read_photo(PhotoFile(path, "x")).image.shape == (height, width, 3), path.name
