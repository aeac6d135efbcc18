"""The results in README.md: text between markers, made from files of results only."""

from dseg.errors import DsegError

BEGIN = "<!-- results: written by `python -m dseg readme`; not to be edited -->"
END = "<!-- end of results -->"
STUDY_BEGIN = "<!-- study: written by `make reproduce PROFILE=study`; not to be edited -->"
STUDY_END = "<!-- end of study -->"


def results_block(table: str, picture: str, caption: str, folder: str) -> str:
    """What stands between the markers.

    Args:
        table: The main table, Markdown.
        picture: Path of a gallery, relative to README.md.
        caption: What the gallery shows, one paragraph.
        folder: Path of the results, relative to README.md.
    """
    return (
        f"{table.strip()}\n\n"
        f"![{caption.partition('.')[0]}]({picture})\n\n"
        f"*{caption}*\n\n"
        f"All tables: [{folder}/tables]({folder}/tables), all figures: "
        f"[{folder}/figures]({folder}/figures)."
    )


def study_block(claims: str, page: str, folder: str) -> str:
    """The verdicts of a page of claims, with links into it.

    Args:
        claims: The page, Markdown; the table of verdicts is its first.
        page: Its path, relative to README.md.
        folder: Path of the results, relative to README.md.

    Raises:
        DsegError: The page has no table.
    """
    rows = claims[claims.find("\n| ") + 1 :].partition("\n\n")[0] if "\n| " in claims else ""
    if not rows:
        raise DsegError(f"{page}: no table of verdicts: run the stage claims again")
    return (
        f"{rows.replace('](#', f']({page}#')}\n\n"
        f"Numbers, intervals and rules: [{page}]({page}). Tables: [{folder}/tables]"
        f"({folder}/tables), figures: [{folder}/figures]({folder}/figures)."
    )


def replace_block(readme: str, block: str, begin: str = BEGIN, end: str = END) -> str:
    """`readme` with ``block`` between its markers, everything else untouched.

    Raises:
        DsegError: The markers are not there, once each and in order.
    """
    if readme.count(begin) != 1 or readme.count(end) != 1:
        raise DsegError(f"README.md: expected the lines {begin!r} and {end!r} once each")
    before, _, rest = readme.partition(begin)
    inside, found, after = rest.partition(end)
    if not found:
        raise DsegError(f"README.md: {end!r} comes before {begin!r}")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"
