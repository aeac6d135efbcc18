"""The four forms of a result table: CSV, Markdown, LaTeX (booktabs) and HTML.

They are plain functions from a table to text; equal tables are equal bytes.
"""

import csv
import html
import io
from itertools import groupby
from pathlib import Path

from dseg.files import write_text
from dseg.reporting.table import NOT_RUN, Table

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"$<$",
        ">": r"$>$",
    }
)
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:1.5em;color:#222}"
    "table{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid}"
    "th,td{padding:.25em .8em;text-align:right;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}"
    "thead{border-bottom:1px solid}thead th{font-weight:600}p{max-width:60em}"
)


def to_csv(table: Table) -> str:
    """The tidy records, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.heading for column in table.columns])
    writer.writerows(table.records)
    return text.getvalue()


def to_markdown(table: Table) -> str:
    """Title, a GitHub table and the note; columns are padded to be read as plain text too."""
    if not table.cells:
        return f"**{table.title}**\n\n{NOT_RUN}: {table.note}\n"
    heads = ["<br>".join(filter(None, pair)) for pair in table.headings]
    rows = [[cell.replace("|", r"\|") for cell in row] for row in (heads, *table.cells)]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(heads))]
    lines = [
        "| " + " | ".join(_pad(cell, widths[i], i) for i, cell in enumerate(row)) + " |"
        for row in rows
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return f"**{table.title}**\n\n" + "\n".join(lines) + f"\n\n{table.note}\n"


def to_latex(table: Table) -> str:
    """A table environment in the style of booktabs, whose package it needs."""
    lines = [
        f"% {table.name}: needs \\usepackage{{booktabs}}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{_tex(table.title)}. {_tex(table.note)}}}",
        f"  \\label{{tab:{table.name}}}",
    ]
    if not table.cells:
        return "\n".join([*lines, f"  {NOT_RUN}", r"\end{table}", ""])
    lines += [f"  \\begin{{tabular}}{{l{'r' * (len(table.headings) - 1)}}}", r"    \toprule"]
    spans = _spans(table)
    if any(group for group, _, _ in spans):
        over = [
            f"\\multicolumn{{{stop - start}}}{{c}}{{{_tex(group)}}}"
            if group
            else " & " * (stop - start - 1)
            for group, start, stop in spans
        ]
        rules = [f"\\cmidrule(lr){{{start + 1}-{stop}}}" for group, start, stop in spans if group]
        lines += ["    " + " & ".join(over) + r" \\", "    " + " ".join(rules)]
    lines.append("    " + " & ".join(_tex(head) for _, head in table.headings) + r" \\")
    lines.append(r"    \midrule")
    lines += ["    " + " & ".join(_tex(cell) for cell in row) + r" \\" for row in table.cells]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def to_html(table: Table) -> str:
    """A page of its own, for the workflow's report."""
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(table.title)}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1 style='font-size:1.2em'>{html.escape(table.title)}</h1>",
    ]
    if table.cells:
        groups = "".join(
            f"<th colspan='{stop - start}' style='text-align:center'>{html.escape(group)}</th>"
            for group, start, stop in _spans(table)
        )
        heads = "".join(f"<th>{html.escape(head)}</th>" for _, head in table.headings)
        parts.append(f"<table><thead><tr>{groups}</tr><tr>{heads}</tr></thead><tbody>")
        for row in table.cells:
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            parts.append(f"<tr>{cells}</tr>")
        parts.append("</tbody></table>")
    else:
        parts.append(f"<p>{NOT_RUN}</p>")
    return "\n".join([*parts, f"<p>{html.escape(table.note)}</p>", "</body></html>", ""])


FORMS = {"csv": to_csv, "md": to_markdown, "tex": to_latex, "html": to_html}


def write_table(table: Table, folder: Path) -> None:
    """Write <folder>/<table>.{csv,md,tex,html}."""
    for suffix, form in FORMS.items():
        write_text(folder / f"{table.name}.{suffix}", form(table))


def _spans(table: Table) -> list[tuple[str, int, int]]:
    """Runs of columns with one group: (group, first column, column after the last)."""
    runs = groupby(range(len(table.headings)), key=lambda index: table.headings[index][0])
    columns = [(group, list(run)) for group, run in runs]
    return [(group, run[0], run[-1] + 1) for group, run in columns]


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def _tex(text: str) -> str:
    return text.translate(_LATEX)
