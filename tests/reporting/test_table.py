"""A table is columns over a numeric frame: what is missing, side by side, below each other."""

from dataclasses import replace

import pandas as pd
import pytest

from dseg.reporting.table import Table, corrected, fixed, p_text, plain, with_bounds

NAN = float("nan")
ROWS = [
    # method, benchmark, score with bounds, trainings
    ("a", "one", 71.24, 69.77, 72.5, NAN),
    ("a", "two", 60.0, 59.0, 61.0, NAN),
    ("b", "two", 50.06, NAN, NAN, 5),
    ("c", "three", NAN, NAN, NAN, 2),
]
FRAME = pd.DataFrame(ROWS, columns=["method", "benchmark", "iou", "iou_low", "iou_high", "seeds"])
TABLE = Table(
    name="t",
    title="T",
    note="",
    frame=FRAME,
    columns=(plain("method"), plain("iou", fixed(2)), plain("seeds", fixed(0))),
    lead=(plain("method"), plain("seeds", fixed(0), "trainings")),
    shown=(with_bounds("IoU", "iou"), plain("iou", fixed(2, sign="+"), "again")),
    groups={"one": "one, 3 images", "two": "two, 4 images"},
)


def test_a_row_for_each_method_with_what_was_not_run_said() -> None:
    assert TABLE.cells == (
        ("a", "", "71.2 [69.8, 72.5]", "+71.24", "60.0 [59.0, 61.0]", "+60.00"),
        ("b", "5", "not run", "not run", "50.1 [nan, nan]", "+50.06"),
        ("c", "2", "not run", "not run", "not run", "not run"),
    )
    assert TABLE.headings[2:4] == (("one, 3 images", "IoU"), ("one, 3 images", "again"))
    assert TABLE.records == (
        ("a", "71.24", ""),
        ("a", "60.00", ""),
        ("b", "50.06", "5"),
        ("c", "", "2"),
    )


def test_more_groups_than_fit_stand_below_each_other() -> None:
    three = {**TABLE.groups, "three": "three"}
    assert replace(TABLE, below="benchmark").cells == TABLE.cells  # two do fit
    table = replace(TABLE, groups=three, below="benchmark")
    assert [heading for _, heading in table.headings] == [
        "method", "benchmark", "trainings", "IoU", "again"
    ]  # fmt: skip
    assert [row[:3] for row in table.cells] == [
        ("a", "one, 3 images", ""),
        ("a", "two, 4 images", ""),
        ("b", "two, 4 images", "5"),
        ("c", "three", "2"),
    ]
    assert table.cells[3][3:] == ("", "")  # run, and without a number
    assert len(replace(TABLE, groups=three).headings) == 2 + 3 * 2


def test_without_groups_a_row_of_the_frame_is_a_row() -> None:
    table = replace(TABLE, groups={}, end=(plain("benchmark"),))
    assert [row[0] + row[-1] for row in table.cells] == ["aone", "atwo", "btwo", "cthree"]


def test_p_values_are_corrected_where_there_are_some() -> None:
    frame = pd.DataFrame({"p": [NAN, 0.04, 0.01, NAN, 0.03]})
    found = corrected(frame).to_list()
    assert found[1:3] == pytest.approx([0.06, 0.03]) and found[4] == pytest.approx(0.06)
    assert pd.isna(found[0]) and pd.isna(found[3])
    assert corrected(frame[:1]).isna().all()


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1.000"), (0.0123, "0.012"), (0.001, "0.001"), (4.2e-5, "4e-05")]
)
def test_a_small_p_value_is_not_said_to_be_0(value: float, text: str) -> None:
    assert p_text(value) == text
