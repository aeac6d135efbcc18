"""The commands `data list`, `download`, `verify` and `prepare`: public data sets on this disk."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tabulate import tabulate

from dseg.datasets.clothing.masked import write_masked
from dseg.datasets.public.catalogue import Benchmark, find_benchmarks
from dseg.datasets.public.preparation import prepare as prepare_store
from dseg.datasets.public.store import Store, find_defects, find_state, obtain
from dseg.errors import DsegError

ROOT = Path("data/benchmarks")
_HEADINGS = ("name", "images", "download", "layout", "state", "folder")


def show(root: Path = ROOT) -> None:
    """List the public data sets: how large they are, and how far they are on this disk.

    Args:
        root: The folder that has the data sets' folders.

    Raises:
        DsegError: A record of hashes is broken.
    """
    rows = []
    for benchmark in find_benchmarks(["all"]):
        store = Store(benchmark, root)
        size = format_size(benchmark)
        state = find_state(store)
        rows.append((benchmark.name, benchmark.images, size, benchmark.layout, state, store.folder))
    print(tabulate(rows, headers=_HEADINGS))


def download(names: Sequence[str], /, root: Path = ROOT, timeout: float = 60.0) -> int:
    """Fetch the files of data sets; go on where an earlier call ended.

    Files that are there are checked and taken over.

    Args:
        names: Data sets, as `data list` has them, or all.
        root: The folder that has the data sets' folders.
        timeout: Seconds without a byte after which a connection counts as cut.

    Returns:
        0, or 1 if one of them is not whole.

    Raises:
        DsegError: There is no such data set.
    """

    def get(store: Store) -> None:
        obtain(store, timeout=timeout)
        print(f"{store.benchmark.name}: {find_state(store)}, in {store.folder}")

    return _each(names, root, get)


def prepare(names: Sequence[str], /, root: Path = ROOT) -> int:
    """Unpack data sets, check that they are complete and that every image can be read.

    Args:
        names: Data sets, as `data list` has them, or all.
        root: The folder that has the data sets' folders.

    Returns:
        0, or 1 if one of them is not ready to be used.

    Raises:
        DsegError: There is no such data set.
    """

    def make(store: Store) -> None:
        benchmark = store.benchmark
        empty = prepare_store(store)
        if benchmark.scored:
            print(
                f"{benchmark.name}: prepared; under `benchmarks` in a profile:\n"
                f"  {benchmark.name}: {{layout: {benchmark.layout}, root: {store.folder}, "
                f"images: {benchmark.images}}}"
            )
        else:
            print(
                f"{benchmark.name}: prepared; {benchmark.images} photographs with labels to learn "
                "from. Those with masks of ours, under `benchmarks` in a profile:"
            )
            for split, images in write_masked(store.folder).items():
                root = store.folder / split
                print(f"  {split}: {{layout: saliency, root: {root}, images: {images}}}")
        if empty is not None and benchmark.empty is not None and empty != benchmark.empty:
            print(
                f"note: {empty} of its masks are empty, where {benchmark.empty} are known to be: "
                "its masks were made from grades in another way"
            )

    return _each(names, root, make)


def verify(names: Sequence[str], /, root: Path = ROOT) -> int:
    """Hold every file of data sets against the hashes recorded when it was first whole.

    Args:
        names: Data sets, as `data list` has them, or all.
        root: The folder that has the data sets' folders.

    Returns:
        0, or 1 if a file is missing or differs; each is named.

    Raises:
        DsegError: There is no such data set.
    """

    def check(store: Store) -> None:
        defects = list(find_defects(store))
        if defects:
            raise DsegError("\n".join(defects))
        print(f"{store.benchmark.name}: as recorded in {store.record}")

    return _each(names, root, check)


def format_size(benchmark: Benchmark) -> str:
    """Bytes to fetch, for people; ``?`` where a part of them is not known for certain."""
    if not benchmark.sources:
        return "by hand"
    sizes = [source.size for source in benchmark.sources]
    known = [size for size in sizes if size is not None]
    return f"{sum(known) / 1e9:.2f} GB" if known and len(known) == len(sizes) else "?"


def _each(names: Sequence[str], root: Path, act: Callable[[Store], None]) -> int:
    """Act on each benchmark, whatever goes wrong with others; 1 if something did."""
    status = 0
    for benchmark in find_benchmarks(names):
        try:
            act(Store(benchmark, root))
        except DsegError as error:
            status = 1
            for line in str(error).splitlines():
                print(f"error: {line}", file=sys.stderr)
    return status
