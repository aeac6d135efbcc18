"""Stage `readme`: results -> the table and the gallery that README.md shows."""

import json
from pathlib import Path

from dseg.errors import DsegError
from dseg.progress import format_seconds
from dseg.readme import replace_block, results_block
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
    duration = results / DURATION
    if duration.is_file():
        facts = json.loads(duration.read_text(encoding="utf-8"))
        block += (
            f" A run from nothing took {format_seconds(facts['seconds'])} on {facts['cores']} CPU "
            f"cores ({facts['machine']}), the installation apart."
        )
    old = readme.read_text(encoding="utf-8")
    new = replace_block(old, block)
    if new != old:
        write_atomically(readme, lambda temporary: temporary.write_text(new, encoding="utf-8"))
