"""Stage `readme`: results -> the table and the gallery that README.md shows."""

import json
from pathlib import Path

from dseg.errors import DsegError
from dseg.progress import format_seconds
from dseg.readme import STUDY_BEGIN, STUDY_END, replace_block, results_block, study_block
from dseg.shards import write_atomically

DURATION = "run.json"
TABLE, GALLERY = "tables/saliency.md", "figures/gallery-test.png"
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
    for path in (results / TABLE, results / GALLERY, readme):
        if not path.is_file():
            raise DsegError(f"{path}: no such file; run the stages tables and figures first")
    folder = results.resolve().relative_to(readme.resolve().parent).as_posix()
    table = (results / TABLE).read_text(encoding="utf-8")
    block = results_block(table, f"{folder}/{GALLERY}", CAPTION, folder)
    old = readme.read_text(encoding="utf-8")
    _write(readme, old, replace_block(old, block + _duration(results)))


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
    block = study_block(claims.read_text(encoding="utf-8"), page, folder) + _duration(results)
    old = readme.read_text(encoding="utf-8")
    _write(readme, old, replace_block(old, block, STUDY_BEGIN, STUDY_END))


def _duration(results: Path) -> str:
    """How long a run from nothing took, a sentence; empty where it was not measured."""
    duration = results / DURATION
    if not duration.is_file():
        return ""
    facts = json.loads(duration.read_text(encoding="utf-8"))
    parts = f", in {facts['runs']} parts" if facts.get("runs", 1) > 1 else ""
    return (
        f" A run from nothing took {format_seconds(facts['seconds'])} on {facts['cores']} CPU "
        f"cores ({facts['machine']}){parts}, the installation apart."
    )


def _write(readme: Path, old: str, new: str) -> None:
    if new != old:
        write_atomically(readme, lambda temporary: temporary.write_text(new, encoding="utf-8"))
