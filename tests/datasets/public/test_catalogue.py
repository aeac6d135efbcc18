"""The table of public data sets: what it must agree with, and the page that shows it."""

import re
from pathlib import Path

import pytest

from dseg.commands.data import format_size
from dseg.datasets.public.catalogue import BENCHMARKS, Benchmark, find_benchmarks
from dseg.datasets.public.hashes import digest
from dseg.datasets.public.store import READERS
from dseg.errors import DsegError
from dseg.settings.run import BenchmarkSettings

each = pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)


def test_known_numbers_of_images() -> None:
    assert {name: benchmark.images for name, benchmark in BENCHMARKS.items()} == {
        "ecssd": 1000,
        "duts-te": 5019,
        "dut-omron": 5168,
        "sod": 300,
        "pascal-s": 850,
        "voc07": 5011,
        "voc12": 11540,
        "voc12-100": 100,
        "coco20k": 19817,
        "clothing": 5096,
    }


@each
def test_entries_are_sound(benchmark: Benchmark) -> None:
    assert benchmark.layout in READERS
    if benchmark.scored:
        BenchmarkSettings(layout=benchmark.layout, root="data", images=benchmark.images)
    else:
        with pytest.raises(ValueError, match="layout"):
            BenchmarkSettings(layout=benchmark.layout, root="data", images=benchmark.images)
    places = {place for source in benchmark.sources for place in source.parts.values()}
    made = {"masks"} if benchmark.graded else set()
    if benchmark.sources:
        assert set(benchmark.holds) <= {Path(place).parts[0] for place in places} | made
    for source in benchmark.sources:
        assert re.fullmatch(r"https?://[\w.-]+/[\w./-]+", source.address)
        assert source.address.endswith(f"/{source.name}")
        assert source.md5 is None or re.fullmatch(r"[0-9a-f]{32}", source.md5)
        # A list is needed before what it chooses from is unpacked.
        earlier = [other.name for other in benchmark.sources[: benchmark.sources.index(source)]]
        assert source.only is None or source.only in earlier
    # A copy holds nothing that is not fetched otherwise; a sum is of a file that is read.
    assert {place for copy in benchmark.copies for place in copy.parts.values()} <= places
    assert set(benchmark.sums) <= set(benchmark.lists)


def test_the_list_of_coco20k_is_the_one_described(shared: Path) -> None:
    source = BENCHMARKS["coco20k"].sources[0]
    path = shared / "data" / "lists" / source.name
    found = digest(path)
    assert (found.size, found.md5) == (source.size, source.md5)
    assert len(path.read_text().split()) == BENCHMARKS["coco20k"].images


def test_the_table_of_clothes_is_the_one_described(shared: Path) -> None:
    for name, known in BENCHMARKS["clothing"].sums.items():
        assert digest(shared / "data" / "clothing" / name).sha256 == known


def test_lists_of_voc_have_as_many_images(shared: Path) -> None:
    names = (shared / "data" / "lists" / "VOC2007_images.txt").read_text().split()
    assert len(names) == BENCHMARKS["voc07"].images


def test_names_in_any_case_each_once() -> None:
    assert [each.name for each in find_benchmarks(["VOC07", "ecssd", "voc07"])] == [
        "voc07",
        "ecssd",
    ]
    assert [each.name for each in find_benchmarks(["sod", "all"])][1:] == [
        name for name in BENCHMARKS if name != "sod"
    ]
    with pytest.raises(DsegError, match="no data set 'voc': expected some of ecssd, .*, or all"):
        find_benchmarks(["voc"])


@each
def test_the_page_shows_the_table(root: Path, benchmark: Benchmark) -> None:
    page = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{benchmark.name}` |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:5] == [f"{benchmark.images:,}", format_size(benchmark), benchmark.layout]
    assert benchmark.page in row
    for source in benchmark.sources:
        assert f"[{source.name}]({source.address})" in row
