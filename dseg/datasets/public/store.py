"""A data set's folder on this disk: fetch its files, take over those that are there, check them.

Files lie in ``<root>/<name>/`` under the publisher's names, what they unpack to beside them, and
the record of hashes in ``<root>/<name>.hashes.json``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dseg.datasets.clothing.photographs import open_clothing
from dseg.datasets.opening import LAYOUTS, Samples
from dseg.datasets.public.catalogue import VOC_LIST, Benchmark, Source
from dseg.datasets.public.download import fetch
from dseg.datasets.public.hashes import (
    BLOCK,
    Digest,
    digest,
    read_blocks,
    read_hashes,
    write_hashes,
)
from dseg.datasets.public.unpack import check_archive, is_archive
from dseg.datasets.sample import list_images
from dseg.errors import DsegError
from dseg.files import file_hash, write_text
from dseg.progress import track

READERS = {**LAYOUTS, "clothing": open_clothing}
State = Literal["absent", "partly downloaded", "downloaded", "unpacked", "prepared"]


@dataclass(frozen=True)
class Store:
    """One data set and the folder that has the folders of all."""

    benchmark: Benchmark
    root: Path

    @property
    def folder(self) -> Path:
        """The benchmark's folder."""
        return self.root / self.benchmark.name

    @property
    def record(self) -> Path:
        """The record of hashes."""
        return self.root / f"{self.benchmark.name}.hashes.json"

    def file(self, source: Source) -> Path:
        """Where a fetched file lies."""
        return self.folder / source.name

    @property
    def copies(self) -> tuple[Source, ...]:
        """Archives that somebody put there in place of what is fetched."""
        return tuple(copy for copy in self.benchmark.copies if self.file(copy).is_file())

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it is unpacked from, in this order: copies, then what is fetched."""
        return (*self.copies, *self.benchmark.sources)

    def has(self, source: Source) -> bool:
        """Whether what an archive is fetched for is unpacked already."""
        return bool(source.parts) and all(
            (self.folder / place).exists() for place in source.parts.values()
        )

    def needs(self, source: Source) -> bool:
        """Whether a file must still be fetched: neither it nor all that is in it lies there."""
        packed = {place for copy in self.copies for place in copy.parts.values()}
        lacking = (place for place in source.parts.values() if not (self.folder / place).exists())
        there = bool(source.parts) and packed.issuperset(lacking)
        return not there and not self.file(source).exists()

    @property
    def unpacked(self) -> bool:
        """Whether all that is used is there, whoever put it there: archives are not needed."""
        used = (source.name for source in self.benchmark.sources if not source.parts)
        return all((self.folder / name).exists() for name in (*self.benchmark.holds, *used))


def find_state(store: Store) -> State:
    """How far a benchmark is, by what files there are; nothing is read but the record."""
    hashes = read_hashes(store.record)
    if hashes.contents and all((store.folder / name).is_file() for name in hashes.contents):
        return "prepared"
    if store.unpacked:
        return "unpacked"
    sources = store.benchmark.sources
    there = [not store.needs(source) for source in sources]
    if sources and all(there):
        return "downloaded"
    begun = any(part_of(store.file(source)).is_file() for source in sources)
    begun |= any((store.folder / place).exists() for place in store.benchmark.holds)
    begun |= bool(store.copies)
    return "partly downloaded" if begun or any(there) else "absent"


def part_of(path: Path) -> Path:
    """The name of a file while it is being fetched."""
    return path.with_name(f"{path.name}.part")


def obtain(store: Store, *, timeout: float, pause: float = 1.0) -> None:
    """Fetch the files of a benchmark that are not there yet; check and record all.

    A file that is there is checked and taken over. Nothing is fetched for what is unpacked.

    Args:
        store: The benchmark.
        timeout: As of `fetch`.
        pause: As of `fetch`.

    Raises:
        DsegError: No public address; a file differs from what it was or should be; it is unpacked,
            but not whole; as `fetch`.
    """
    list_images_of(store)
    state = find_state(store)
    if state == "unpacked":
        open_store(store)  # what it lacks is said now, since no archive would be unpacked over it
    if state in ("unpacked", "prepared") or find_lack(store) is None:
        return
    if not store.benchmark.sources:
        raise DsegError(
            f"{store.benchmark.name} has no public address in this layout: put its folders "
            f"{' and '.join(store.benchmark.holds)} into {store.folder} yourself (see "
            f"{store.benchmark.page}), then prepare it"
        )
    for source in store.sources:
        path = store.file(source)
        if store.needs(source):
            fetch(source.address, part_of(path), timeout=timeout, pause=pause)
            check_file(store, source, part_of(path))
            part_of(path).replace(path)
        elif path.exists():
            check_file(store, source, path)


def list_images_of(store: Store) -> None:
    """Write the list of all its images where none is published, once they are there."""
    images, path = store.folder / "JPEGImages", store.folder / VOC_LIST
    if store.benchmark.unlisted and images.is_dir() and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(f"{id}\n" for id in list_images(images)))


def find_lack(store: Store) -> str | None:
    """Why the folder does not open as the whole benchmark; None if it does."""
    try:
        open_store(store)
    except DsegError as error:
        return str(error)
    return None


def open_store(store: Store) -> Samples:
    """The samples of a benchmark.

    Raises:
        DsegError: The folder or a file is missing, or it has another number of images.
    """
    benchmark, folder = store.benchmark, store.folder
    holds = " and ".join(benchmark.holds)
    if not folder.is_dir():
        raise DsegError(
            f"{folder}: no such folder; download {benchmark.name}, or put {holds} of "
            f"{benchmark.title} there ({benchmark.page})"
        )
    samples = READERS[benchmark.layout](folder)
    if len(samples) != benchmark.images:
        raise DsegError(
            f"{folder}: has {len(samples)} images where {benchmark.title} has {benchmark.images}; "
            "restore the others"
            + (
                " or, if they are your own images, name this folder under `benchmarks` in a "
                "profile instead"
                if benchmark.scored
                else ""
            )
        )
    return samples


def check_file(store: Store, source: Source, path: Path) -> None:
    """Check a fetched file; record it if it is whole and not recorded yet.

    Args:
        store: The benchmark it belongs to.
        source: What is known of it.
        path: Where it lies, which may be a temporary name.

    Raises:
        DsegError: It differs from what is recorded or published, or is not a whole archive.
    """
    blocks = -(-path.stat().st_size // BLOCK)
    found = digest(path, blocks=track(read_blocks(path), f"hashing {source.name}, MiB", blocks))
    hashes = read_hashes(store.record)
    recorded = hashes.files.get(source.name)
    try:
        _compare(path, source, found, recorded, store.record)
        if recorded is None and is_archive(Path(source.name)):
            check_archive(path)
    except DsegError as error:
        if path == store.file(source):
            raise
        # Kept to be looked at, since it may have taken hours, but out of the way of a new attempt.
        refused = path.with_name(f"{source.name}.refused")
        path.replace(refused)
        raise DsegError(f"{error} (fetched from {source.address}, kept as {refused})") from error
    if recorded is None:
        hashes.files[source.name] = Digest(found.size, found.sha256)
        write_hashes(store.record, hashes)


def _compare(
    path: Path, source: Source, found: Digest, recorded: Digest | None, record: Path
) -> None:
    if source.size is not None and found.size != source.size:
        raise DsegError(
            f"{path}: has {found.size} bytes where the published file has {source.size}; move it "
            "away and download it again"
        )
    if source.md5 is not None and found.md5 != source.md5:
        raise DsegError(
            f"{path}: its MD5 sum is {found.md5}, the published file's {source.md5}; move it "
            "away and download it again"
        )
    if recorded is not None and found.sha256 != recorded.sha256:
        raise DsegError(
            f"{path}: its SHA-256 is {found.sha256}, but {recorded.sha256} is recorded in "
            f"{record}; move the file away and download it again, or, if you trust it, remove its "
            "entry there"
        )


def find_defects(store: Store) -> Iterator[str]:
    """Check all that is recorded of a benchmark against its files, byte by byte.

    Yields:
        One line for each file that is missing or broken, and for a wrong number of images.
    """
    hashes = read_hashes(store.record)
    if not hashes.files and not hashes.contents:
        yield f"{store.folder}: nothing is recorded of it yet; download or prepare it first"
        return
    for source in store.sources:
        path = store.file(source)
        if path.is_file() and source.name in hashes.files:
            try:
                check_file(store, source, path)
            except DsegError as error:
                yield str(error)
        elif path.is_file():
            yield f"{path}: not recorded yet; download it again to check and record it"
        elif not hashes.contents and store.needs(source):
            yield f"{path}: no such file; download the data set again"
    label = f"checking {store.benchmark.name}"
    for name, recorded in track(hashes.contents.items(), label, len(hashes.contents)):
        path = store.folder / name
        if not path.is_file():
            yield f"{path}: no such file, but {store.record} names it; restore it"
        elif file_hash(path) != recorded:
            yield f"{path}: differs from what {store.record} has of it; restore it"
    if hashes.contents:
        try:
            open_store(store)
        except DsegError as error:
            yield str(error)
