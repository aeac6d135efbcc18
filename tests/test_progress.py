import io
import sys

import pytest

from dseg import progress
from dseg.progress import format_seconds, progress_line, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_items_pass_unchanged_and_log_ends_with_one_line(capsys):
    assert list(track("abc", "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "letters: 3/3, 0 s\n"


def test_no_lines_before_the_interval_and_one_per_item_without_it(capsys, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    list(track(range(3), "numbers"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "numbers: 1/3",
        "numbers: 2/3",
        "numbers: 3/3",
    ]


def test_iterator_without_length_counts(capsys):
    assert list(track(iter(range(4)), "stream")) == [0, 1, 2, 3]
    assert capsys.readouterr().err.startswith("stream: 4/4")


def test_given_total_is_used(capsys, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    list(track(iter(range(2)), "stream", total=2))
    assert "stream: 1/2" in capsys.readouterr().err


def test_empty_iterable(capsys):
    assert list(track([], "nothing")) == []
    assert capsys.readouterr().err == "nothing: 0/0, 0 s\n"


def test_terminal_shows_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(track(range(5), "synthesis")) == list(range(5))
    shown = terminal.getvalue()
    assert "synthesis: 100%" in shown and "5/5" in shown


def test_failure_inside_the_loop_is_not_reported_as_the_end(capsys):
    with pytest.raises(ZeroDivisionError):
        for item in track([0], "division"):
            1 // item
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_time_left_is_proportional():
    assert progress_line("x", 10, 40, 20.0) == "x: 10/40, 20 s, about 1 min 0 s left"
    assert progress_line("x", 10, None, 20.0) == "x: 10, 20 s"
    assert "left" not in progress_line("x", 40, 40, 20.0)
