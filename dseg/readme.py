"""The results in README.md: text between two markers, made from files of results only."""

from dseg.errors import DsegError

BEGIN = "<!-- results: written by `python -m dseg readme`; not to be edited -->"
END = "<!-- end of results -->"


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


def replace_block(readme: str, block: str) -> str:
    """`readme` with ``block`` between its markers, everything else untouched.

    Raises:
        DsegError: The markers are not there, once each and in order.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise DsegError(f"README.md: expected the lines {BEGIN!r} and {END!r} once each")
    before, _, rest = readme.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not end:
        raise DsegError(f"README.md: {END!r} comes before {BEGIN!r}")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"
