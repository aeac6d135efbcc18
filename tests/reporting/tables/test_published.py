"""Published scores: what is quoted, against the page that lists what may be."""

import re
from pathlib import Path

import pytest

from dseg.reporting import comparison
from dseg.reporting.tables.published import BENCHMARKS, CORLOC, DAGGER, PAPER, SALIENCY, Published


def test_every_row_has_a_source_and_only_benchmarks_that_are_known() -> None:
    assert {*comparison.PUBLIC_MASKS, *comparison.PUBLIC_BOXES} == set(BENCHMARKS)
    for rows, names, count in (
        (SALIENCY, comparison.PUBLIC_MASKS, 3),
        (CORLOC, comparison.PUBLIC_BOXES, 1),
    ):
        assert len({(row.method, row.source) for row in rows}) == len(rows)
        for row in rows:
            assert row.source and row.protocol and set(row.scores) <= set(names)
            assert row.scores and all(len(values) == count for values in row.scores.values())
            assert all(0 < value < 100 for values in row.scores.values() for value in values)


def test_the_dagger_marks_the_other_beta() -> None:
    marked = [row for row in SALIENCY if DAGGER in row.method]
    assert marked == [row for row in SALIENCY if row.protocol == "selfmask"] and len(marked) == 1


def test_no_number_of_the_paper_is_quoted() -> None:
    assert PAPER.scores == {} and "DiffusionSeg" in PAPER.method
    assert not any("DiffusionSeg" in row.method for row in (*SALIENCY, *CORLOC))


@pytest.fixture(scope="module")
def page(shared: Path) -> str:
    path = shared / "reference" / "published-scores.md"
    if not path.is_file():
        pytest.skip(f"{path}: not there")
    return path.read_text(encoding="utf-8")


def cells_of(page: str, method: str) -> list[str]:
    """The row of the page's tables that is about a method, without its name."""
    rows = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    ]
    (found,) = [row for row in rows if row[0] == method]
    return found[1:]


@pytest.mark.parametrize("row", [row for row in SALIENCY if "UCOS" not in row.source])
def test_saliency_is_what_the_page_says(page: str, row: Published) -> None:
    name = row.method.replace("not stated", "not stated there")
    name = name.replace("(ViT-S/16) + ", "+ ")
    *numbers, source = cells_of(page, name)
    expected = [" / ".join(map(str, values)) for values in row.scores.values()]
    assert (numbers, source) == (expected, row.source)


@pytest.mark.parametrize("row", [row for row in SALIENCY if "UCOS" in row.source])
def test_the_common_evaluator_is_what_the_page_says(page: str, row: Published) -> None:
    name = row.method.replace(" + bilateral solver", "+BS")
    found = re.search(rf"[:;] {re.escape(name)} (\.\d+)/(\.\d+)/(\.\d+)", page)
    assert found is not None
    iou, acc, max_f = (round(100 * float(number), 1) for number in found.groups())
    assert row.scores == {"ecssd": (acc, iou, max_f)}


@pytest.mark.parametrize("row", CORLOC)
def test_corloc_is_what_the_page_says(page: str, row: Published) -> None:
    name = row.method.replace("(ViT-S/16)", "S/16").replace("(ViT-B/16)", "B/16")
    *numbers, source = cells_of(page, name)
    assert (numbers, source) == ([str(value) for (value,) in row.scores.values()], row.source)
