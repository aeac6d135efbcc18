"""A result table: columns with formatters over one numeric frame.

The frame holds a row for each method and benchmark, with numbers as they are printed: scores in
percent. Nothing of it is text but names and labels; text is made here, and by the forms of a table
(`forms`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import pandas as pd

from dseg.evaluation.statistics import Interval, holm

NOT_RUN = "not run"
SIDE_BY_SIDE = 2  # groups of several columns that a page has room for
INTERVAL = "In brackets: 95 % interval, over images (BCa bootstrap) and trainings (Student)."
TEST = "two-sided sign-flip test over images"
_Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of text over columns of numbers.

    Attributes:
        heading: Its heading.
        names: The columns of the frame that it shows together.
        form: From their values to text; not asked where all of them are missing, which is empty.
    """

    heading: str
    names: tuple[str, ...]
    form: Callable[..., str] = str

    def text(self, row: _Row) -> str:
        """What the column says of a row of the frame."""
        values = [row[name] for name in self.names]
        return "" if all(pd.isna(value) for value in values) else self.form(*values)


def plain(name: str, form: Callable[..., str] = str, heading: str | None = None) -> Column:
    """A column that shows one of the frame, under its name if no heading is given."""
    return Column(name if heading is None else heading, (name,), form)


def fixed(decimals: int, *, sign: str = "") -> Callable[[float], str]:
    """A number with so many decimals."""
    return f"{{:{sign}.{decimals}f}}".format


def with_bounds(heading: str, name: str, decimals: int = 1, *, sign: str = "") -> Column:
    """A number with its interval, like ``71.2 [69.8, 72.5]``."""
    number = fixed(decimals, sign=sign)

    def form(value: float, low: float, high: float) -> str:
        return f"{number(value)} [{number(low)}, {number(high)}]"

    return Column(heading, (name, f"{name}_low", f"{name}_high"), form)


def bounds(name: str, decimals: int = 2) -> tuple[Column, ...]:
    """The same for machines: three columns."""
    return tuple(plain(each, fixed(decimals)) for each in (name, f"{name}_low", f"{name}_high"))


def p_text(value: float) -> str:
    """A p value, like ``0.012``, or ``4e-05`` where three decimals would say 0."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


count = fixed(0)
KEYS = (
    *(plain("method"), plain("label"), plain("benchmark"), plain("images", count)),
    plain("protocol"),
)


def percent(name: str, interval: Interval) -> dict[str, float]:
    """An interval as three numbers of a frame, in percent."""
    return {
        name: 100 * interval.value,
        f"{name}_low": 100 * interval.low,
        f"{name}_high": 100 * interval.high,
    }


def corrected(frame: pd.DataFrame, p: str = "p") -> pd.Series:
    """The p values of a frame corrected by Holm among them; missing where there are none."""
    tested = frame[p].dropna()
    return pd.Series(holm(tested.to_list()), index=tested.index, dtype=float).reindex(frame.index)


@dataclass(frozen=True, eq=False)
class Table:
    """A result table.

    Attributes:
        name: Its file name without suffix.
        title: What it shows, one line.
        note: Protocol, numbers of images, what the intervals are.
        frame: A row for each thing that is shown and each benchmark that it was run on; none if
            nothing was run.
        columns: Of the tidy form for machines: a record for each row of the frame.
        lead: Columns that a shown row begins with.
        shown: Columns of each benchmark.
        end: Columns that a shown row ends with.
        groups: Heading of each benchmark that has columns of its own, by key; none where a row of
            the frame is a shown row.
        rows: Columns of the frame that tell shown rows apart.
        below: Where given, groups that are more than fit side by side stand below each other,
            named in a second column with this heading; rows that a group was not run for are left
            out of it.
    """

    name: str
    title: str
    note: str
    frame: pd.DataFrame
    columns: Sequence[Column]
    lead: Sequence[Column]
    shown: Sequence[Column] = ()
    end: Sequence[Column] = ()
    groups: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    rows: Sequence[str] = ("method",)
    below: str | None = None

    @cached_property
    def headings(self) -> tuple[tuple[str, str], ...]:
        """(group, heading) of each shown column; a group spans neighbouring columns."""
        lead, end = ([("", each.heading) for each in part] for part in (self.lead, self.end))
        if self._stacked:
            own = [("", each.heading) for each in self.shown]
            return (lead[0], ("", str(self.below)), *lead[1:], *own, *end)
        groups = self.groups.values() or [""]
        return (*lead, *((group, each.heading) for group in groups for each in self.shown), *end)

    @cached_property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Shown rows, one text for each heading."""
        if not self.groups:
            return tuple(
                tuple(each.text(row) for each in (*self.lead, *self.shown, *self.end))
                for row in self._records
            )
        shown: dict[tuple[Any, ...], dict[str, _Row]] = {}
        for row in self._records:
            shown.setdefault(tuple(row[name] for name in self.rows), {})[row["benchmark"]] = row
        if self._stacked:
            return tuple(
                (first, self.groups[group], *rest, *self._texts(of_row.get(group)))
                for group in self.groups
                for of_row in shown.values()
                if group in of_row
                for first, *rest in [self._around(self.lead, of_row)]
            )
        return tuple(
            (
                *self._around(self.lead, of_row),
                *(text for group in self.groups for text in self._texts(of_row.get(group))),
                *self._around(self.end, of_row),
            )
            for of_row in shown.values()
        )

    @cached_property
    def records(self) -> tuple[tuple[str, ...], ...]:
        """The same results tidy, for machines: texts in the order of `columns`."""
        return tuple(tuple(each.text(row) for each in self.columns) for row in self._records)

    @cached_property
    def _records(self) -> list[_Row]:
        return [
            {str(name): value for name, value in row.items()}
            for row in self.frame.to_dict("records")
        ]

    @property
    def _stacked(self) -> bool:
        return self.below is not None and len(self.groups) > SIDE_BY_SIDE

    def _texts(self, row: _Row | None) -> list[str]:
        return [NOT_RUN if row is None else each.text(row) for each in self.shown]

    def _around(self, columns: Sequence[Column], of_row: Mapping[str, _Row]) -> list[str]:
        """Texts that are not of one benchmark, from the last of them."""
        last = list(of_row.values())[-1]
        return [each.text(last) for each in columns]
