"""The results in README.md: text between markers, made from files of results only."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from dseg.errors import DsegError
from dseg.files import write_text
from dseg.progress import format_seconds
from dseg.settings.fields import Count, Text
from dseg.settings.typed_json import Record, read_record

BEGIN = "<!-- results: written by `python -m dseg stage readme`; not to be edited -->"
END = "<!-- end of results -->"
STUDY_BEGIN = "<!-- study: written by `make reproduce PROFILE=study`; not to be edited -->"
STUDY_END = "<!-- end of study -->"
PHOTOS_BEGIN = "<!-- photos: written by `make reproduce PROFILE=photos`; not to be edited -->"
PHOTOS_END = "<!-- end of photos -->"
DURATION = "run.json"
TABLE, GALLERY = "tables/saliency.md", "figures/gallery-test.png"
# Of photographs the galleries stay where a run made them; synthetic images may be shown.
SYNTHETIC = "figures/masks.png"
SYNTHETIC_CAPTION = (
    "Synthetic photographs and the masks that AttentionCut makes of their attention. From top to "
    "bottom: the first image of a noun, the noun's cross map, the mask; in grey, with the reason, "
    "those that the filter drops."
)
CAPTION = (
    "Predictions on held-out images. From left to right: images evenly spaced from the worst to "
    "the best by the head's IoU; outlines of the true mask and of each method's, and below them "
    "the IoU in percent."
)


def run(results: Path, readme: Path = Path("README.md")) -> None:
    """Write the main table and a gallery into README.md; nothing is written if they are there.

    Args:
        results: Folder results/<profile>.
        readme: The file, in a folder above the results.

    Raises:
        DsegError: A result or the file is missing, or the file lacks the markers.
    """
    _write_results(results, readme, GALLERY, CAPTION, (BEGIN, END))


def write_photos(results: Path, readme: Path = Path("README.md")) -> None:
    """Write the main table of the photographs into README.md, and synthetic ones; as `run`.

    Raises:
        DsegError: As `run`.
    """
    _write_results(results, readme, SYNTHETIC, SYNTHETIC_CAPTION, (PHOTOS_BEGIN, PHOTOS_END))


def _write_results(
    results: Path, readme: Path, picture: str, caption: str, markers: tuple[str, str]
) -> None:
    for path in (results / TABLE, results / picture, readme):
        if not path.is_file():
            raise DsegError(f"{path}: no such file; run the stages tables and figures first")
    folder = results.resolve().relative_to(readme.resolve().parent).as_posix()
    table = (results / TABLE).read_text(encoding="utf-8")
    block = _results_block(table, f"{folder}/{picture}", caption, folder)
    old = readme.read_text(encoding="utf-8")
    _write(readme, old, replace_block(old, block + _duration(results), *markers))


def write_study(results: Path, claims: Path, readme: Path = Path("README.md")) -> None:
    """Write the verdicts of the study into README.md; nothing is written if they are there.

    Args:
        results: Folder of the study's results.
        claims: Its page of claims.
        readme: The file, in a folder above both.

    Raises:
        DsegError: The page or the file is missing, or lacks the table or the markers.
    """
    for path in (claims, readme):
        if not path.is_file():
            raise DsegError(f"{path}: no such file; run the stage claims first")
    root = readme.resolve().parent
    page, folder = (path.resolve().relative_to(root).as_posix() for path in (claims, results))
    block = _study_block(claims.read_text(encoding="utf-8"), page, folder) + _duration(results)
    old = readme.read_text(encoding="utf-8")
    _write(readme, old, replace_block(old, block, STUDY_BEGIN, STUDY_END))


def _duration(results: Path) -> str:
    """How long a run from nothing took, a sentence; empty where it was not measured."""
    duration = results / DURATION
    if not duration.is_file():
        return ""
    facts = read_record(duration, _Duration, "take it from git again, or remove it")
    parts = f", in {facts.runs} parts" if facts.runs > 1 else ""
    return (
        f" A run from nothing took {format_seconds(facts.seconds)} on {facts.cores} CPU cores "
        f"({facts.machine}){parts}, the installation apart."
    )


class _Duration(Record):
    seconds: Annotated[int, Field(ge=0, le=10**9)]
    runs: Count = 1
    cores: Count
    machine: Text


def _write(readme: Path, old: str, new: str) -> None:
    if new != old:
        write_text(readme, new)


def _results_block(table: str, picture: str, caption: str, folder: str) -> str:
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


def _study_block(claims: str, page: str, folder: str) -> str:
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
