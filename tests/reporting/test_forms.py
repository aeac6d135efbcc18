"""The four forms of a table: what is shown, escaped, and the same in each."""

import re

import pandas as pd

from dseg.reporting.forms import to_csv, to_html, to_latex, to_markdown
from dseg.reporting.table import Table, fixed, plain

NAN = float("nan")
FRAME = pd.DataFrame(
    {
        "method": ["a|b", "c, d"],
        "benchmark": ["one", "one"],
        "x": [1.0, -3.0],
        "y": [22.0, 4.0],
        "z": [NAN, 5.0],
    }
)
TABLE = Table(
    name="t",
    title="50 % & more",
    note="a_b < c",
    frame=FRAME,
    columns=(plain("method"), plain("x", fixed(2))),
    lead=(plain("method"),),
    shown=(plain("x", fixed(1)), plain("y", fixed(1))),
    end=(plain("z", fixed(1)),),
    groups={"one": "one"},
)


def test_markdown_is_a_table_of_equal_rows():
    lines = to_markdown(TABLE).splitlines()
    assert lines[0] == "**50 % & more**"
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[2:6]]
    assert {len(row) for row in rows} == {4} and len({len(line) for line in lines[2:6]}) == 1
    assert [cell.strip() for cell in rows[0]] == ["method", "one<br>x", "one<br>y", "z"]
    assert rows[2][0].strip() == r"a\|b"


def test_latex_escapes_and_spans():
    text = to_latex(TABLE)
    assert r"50 \% \& more" in text and r"a\_b $<$ c" in text
    assert r"\multicolumn{2}{c}{one}" in text and r"\cmidrule(lr){2-3}" in text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    for row in rows:  # every row fills the four columns
        spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d)\}", row))
        assert len(re.findall(r"(?<!\\)&", row)) + spanned == 3
    assert text.count("{") == text.count("}")


def test_html_escapes():
    assert "50 % &amp; more" in to_html(TABLE) and "a_b &lt; c" in to_html(TABLE)


def test_csv_quotes():
    assert to_csv(TABLE) == 'method,x\na|b,1.00\n"c, d",-3.00\n'
