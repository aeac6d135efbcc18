"""Unpacking: parts land where they belong, and a hostile or broken archive writes nothing."""

import gzip
import io
import os
import resource
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseg.datasets.public.unpack import check_archive, unpack
from dseg.errors import DsegError

PARTS = {"images": "images"}


def pack_zip(path: Path, files: Mapping[str, bytes | str], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def pack_tar(path: Path, members: list[tarfile.TarInfo], content: bytes = b"") -> Path:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return path


def plain(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def listing(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder in a folder of its own: what leaves it is seen there."""
    return tmp_path / "outside" / "out"


def refused(archive: Path, out: Path, match: str) -> None:
    with pytest.raises(DsegError, match=match) as error:
        unpack(archive, out, PARTS)
    assert archive.name in str(error.value) and "\n" not in str(error.value)
    assert listing(out.parent) == {} and list(out.iterdir()) == []


def test_parts_are_found_at_any_depth_and_the_rest_is_left(tmp_path: Path, out: Path) -> None:
    archive = pack_zip(
        tmp_path / "a.zip",
        {
            "set/readme.txt": "no",
            "set/images/": "",
            "set/images/a.jpg": b"a",
            "set/images/deep/b.jpg": b"b",
            "set/images/.DS_Store": b"",
            "set/images/._a.jpg": b"",
            "__MACOSX/set/images/a.jpg": b"",
            "set/boxes/one.txt": "1",
            "set/boxes/two.txt": "2",
        },
    )
    unpack(archive, out, {"images": "pictures", "boxes/two.txt": "boxes/two.txt"})
    assert listing(out) == {
        "pictures/a.jpg": b"a",
        "pictures/deep/b.jpg": b"b",
        "boxes/two.txt": b"2",
    }


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_tar_archives(tmp_path: Path, out: Path, name: str) -> None:
    folder = plain("./VOC/images")
    folder.type = tarfile.DIRTYPE
    pack_tar(tmp_path / name, [folder, plain("./VOC/images/a.jpg"), plain("VOC/b.xml")], b"abc")
    unpack(tmp_path / name, out, {"VOC/images": "images"})
    assert listing(out) == {"images/a.jpg": b"abc"}


def test_only_listed_files_are_unpacked(tmp_path: Path, out: Path) -> None:
    archive = pack_zip(tmp_path / "a.zip", {f"images/{i}.jpg": str(i) for i in range(9)})
    unpack(archive, out, PARTS, only=frozenset({"images/3.jpg", "images/5.jpg"}))
    assert listing(out) == {"images/3.jpg": b"3", "images/5.jpg": b"5"}


def test_a_zip_in_a_zip(tmp_path: Path, out: Path) -> None:
    inner = pack_zip(tmp_path / "inner.zip", {"images/a.png": b"a"}).read_bytes()
    archive = pack_zip(tmp_path / "a.zip.zip", {"inner.zip": inner})
    unpack(archive, out, PARTS)
    assert listing(out) == {"images/a.png": b"a"}
    evil = pack_zip(tmp_path / "evil.zip", {"../images/a.png": b"a"}).read_bytes()
    refused(pack_zip(tmp_path / "b.zip.zip", {"evil.zip": evil}), tmp_path / "o" / "o", "outside")


def test_what_is_there_is_left_as_it_is(tmp_path: Path, out: Path) -> None:
    (out / "images").mkdir(parents=True)
    (out / "images" / "mine.txt").write_text("mine")
    left = out / ".a.zip.0123.tmp" / "images"
    left.mkdir(parents=True)
    (left / "half.jpg").write_bytes(b"")
    archive = pack_zip(tmp_path / "a.zip", {"images/a.jpg": b"a", "masks/a.png": b"m"})
    unpack(archive, out, PARTS | {"masks": "masks"})
    assert listing(out) == {"images/mine.txt": b"mine", "masks/a.png": b"m"}


@pytest.mark.parametrize(
    "name",
    ["../evil.jpg", "images/../../evil.jpg", "/images/evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"],
)
def test_paths_that_leave_the_folder(tmp_path: Path, out: Path, name: str) -> None:
    files = {"images/good.jpg": b"x", name: b"evil"}
    refused(pack_zip(tmp_path / "a.zip", files), out, "would be written outside the folder")
    pack_tar(tmp_path / "a.tar", [plain("images/good.jpg"), plain(name)], b"x")
    refused(tmp_path / "a.tar", out, "would be written outside the folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip(tmp_path: Path, out: Path, kind: int) -> None:
    info = zipfile.ZipInfo("images/link")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("images/a.jpg", b"a")
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", out, "'images/link' is a link or a device")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar(tmp_path: Path, out: Path, kind: bytes) -> None:
    link = plain("images/link")
    link.type, link.linkname = kind, "../../target"
    refused(
        pack_tar(tmp_path / "a.tar", [plain("images/a.jpg"), link], b"x"),
        out,
        "is a link, a device",
    )


def test_a_bomb(tmp_path: Path, out: Path) -> None:
    packed = pack_zip(
        tmp_path / "a.zip", {"images/a": bytes(20_000_000)}, compression=zipfile.ZIP_DEFLATED
    )
    assert packed.stat().st_size < 30_000
    refused(packed, out, "more than 50 times its size")
    refused(pack_tar(tmp_path / "a.tgz", [plain("images/a")], bytes(20_000_000)), out, "50 times")


def test_a_member_that_is_longer_than_it_says(tmp_path: Path, out: Path) -> None:
    archive = pack_zip(
        tmp_path / "a.zip", {"images/a": bytes(500_000)}, compression=zipfile.ZIP_DEFLATED
    )
    packed = archive.read_bytes()
    size = (500_000).to_bytes(4, "little")
    assert packed.count(size) == 2  # its own header and the table of contents
    archive.write_bytes(packed.replace(size, (90).to_bytes(4, "little")))
    refused(archive, out, "its member images/a")


def test_two_files_for_one_place(tmp_path: Path, out: Path) -> None:
    archive = pack_zip(tmp_path / "a.zip", {"a/images/x.jpg": b"1", "b/images/x.jpg": b"2"})
    refused(archive, out, "two of its files would both become images/x.jpg")


def test_broken_archives_are_named(tmp_path: Path, out: Path) -> None:
    whole = pack_zip(tmp_path / "whole.zip", {"images/a.jpg": bytes(range(256)) * 40}).read_bytes()
    short, damaged, page, empty, other = (
        tmp_path / name for name in ("short.zip", "damaged.zip", "page.zip", "empty.zip", "o.zip")
    )
    short.write_bytes(whole[:-300])
    refused(short, out, "not a whole archive")
    damaged.write_bytes(whole.replace(bytes(range(100, 200)), bytes(range(200, 100, -1)), 1))
    refused(damaged, out, "its member images/a.jpg is broken .*CRC")
    page.write_text("<!DOCTYPE html><p>Gone.")
    refused(page, out, "not a whole archive, but a web page")
    with pytest.raises(DsegError, match="empty archive"):
        check_archive(pack_zip(empty, {}))
    refused(empty, out, "holds no file of images")
    refused(pack_zip(other, {"masks/a.png": b""}), out, "holds no file of images")
    refused(tmp_path / "none.zip", out, "cannot be unpacked .*No such file")
    with pytest.raises(DsegError, match="holds no file of masks"):
        unpack(tmp_path / "whole.zip", out, PARTS | {"masks": "masks"})
    assert listing(out) == {}


def test_a_truncated_tar(tmp_path: Path, out: Path) -> None:
    pack_tar(tmp_path / "a.tar", [plain("images/a"), plain("images/b")], bytes(100_000))
    (tmp_path / "b.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:150_000])
    with pytest.raises(DsegError, match="not a whole archive"):
        check_archive(tmp_path / "b.tar")
    refused(tmp_path / "b.tar", out, "not a whole archive")


def test_encrypted_archives(tmp_path: Path, out: Path) -> None:
    archive = pack_zip(tmp_path / "a.zip", {"images/a.jpg": b"a"})
    packed = bytearray(archive.read_bytes())
    packed[packed.index(b"PK\x01\x02") + 8] |= 1  # the flag in the table of contents
    archive.write_bytes(packed)
    refused(archive, out, "images/a.jpg is encrypted")


def packed_header(kind: bytes, size: int) -> bytes:
    """A tar header that says that `size` bytes of a long name or of extended fields follow."""
    info = plain("images/a")
    info.type, info.size = kind, size
    return info.tobuf()


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_without_end_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    size = 2_000_000_000
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as file:
        file.write(packed_header(kind, size))
        for _ in range(60):  # less than it says, but more than is allowed: 600 MB
            file.write(b"x" * 10_000_000)
    code = (
        "import sys; from pathlib import Path\n"
        "from dseg.datasets.public.unpack import check_archive\n"
        "from dseg.errors import DsegError\n"
        "try: check_archive(Path(sys.argv[1]))\n"
        "except DsegError as error: print(error)"
    )
    limit = 500_000_000
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.tgz")],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert "a.tgz: not a whole archive (a header of more than 131072 bytes)" in done.stdout


@pytest.mark.parametrize(
    "sizes", [[-512], [1 << 62], [-(1 << 62)]], ids=["back", "far", "far back"]
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.DIRTYPE])
def test_sizes_that_cannot_be(tmp_path: Path, out: Path, sizes: list[int], kind: bytes) -> None:
    info = plain("images/a")
    info.type, info.size = kind, sizes[0]
    (tmp_path / "a.tar").write_bytes(info.tobuf(format=tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(DsegError, match=r"a\.tar: "):
        unpack(tmp_path / "a.tar", out, PARTS)


def test_a_sparse_file_and_a_member_without_name(tmp_path: Path, out: Path) -> None:
    info = plain("images/a")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}
    refused(pack_tar(tmp_path / "a.tar", [info], b"x"), out, "sparse file")
    info.pax_headers = {"GNU.sparse.map": "0,x", "GNU.sparse.size": "9"}
    refused(pack_tar(tmp_path / "b.tar", [info], b"x"), out, "not a whole archive")
    nameless = zipfile.ZipInfo("q")
    nameless.filename = ""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(nameless, b"a")
    refused(tmp_path / "a.zip", out, "member '' has no name")


def test_names_that_are_not_utf8(tmp_path: Path, out: Path) -> None:
    strange = os.fsdecode(b"images/\xff.jpg")
    pack_tar(tmp_path / "a.tar", [plain(strange)], b"x")
    unpack(tmp_path / "a.tar", out, PARTS)
    assert (out / strange).read_bytes() == b"x"
    pack_tar(tmp_path / "b.tar", [plain("../" + strange)], b"x")
    refused(tmp_path / "b.tar", tmp_path / "o" / "o", "outside the folder")
    packed = pack_zip(tmp_path / "a.zip", {"images/\u00e9.jpg": b"a"}).read_bytes()
    (tmp_path / "a.zip").write_bytes(packed.replace("\u00e9".encode(), b"\xff\xfe"))
    refused(tmp_path / "a.zip", tmp_path / "o" / "o", "not a whole archive")


def wholes() -> list[bytes]:
    """Small archives of each kind, to be damaged."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/a.jpg", bytes(300))
        archive.writestr("images/\u00e9/", b"")
    found = [made.getvalue()]
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=format) as file:
            info = plain("images/" + "\u00e9" * 120)
            info.size, info.mtime = 300, 0.5
            file.addfile(info, io.BytesIO(bytes(300)))
        found += [made.getvalue(), gzip.compress(made.getvalue(), mtime=0)]
    return found


FLIPS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=4)


@settings(
    deadline=2000,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=st.binary() | st.sampled_from(wholes()), flips=FLIPS, sum_again=st.booleans())
def test_any_bytes_are_unpacked_or_refused_in_one_line(
    tmp_path: Path, content: bytes, flips: list[tuple[int, int]], sum_again: bool
) -> None:
    damaged = bytearray(content)
    for place, value in flips:
        if damaged:
            damaged[place % min(len(damaged), 1700)] = value
    if sum_again and len(damaged) >= 512:  # tarfile looks no further where the sum is wrong
        damaged[148:156] = b" " * 8
        damaged[148:156] = b"%06o\0 " % sum(damaged[:512])
    (tmp_path / "a.tar").write_bytes(damaged)
    try:
        unpack(tmp_path / "a.tar", tmp_path / "out", PARTS)
    except DsegError as error:
        assert "a.tar: " in str(error) and "\n" not in str(error)
