"""Draw the pipeline for README.md, docs/images/pipeline.svg, from the rules of the Snakefile.

python docs/pipeline.py

Boxes and arrows are what `snakemake --rulegraph` says of the default profile. Where a box stands is
said here: a rule that has no place, or a place without a rule, is an error.
"""

import re
import subprocess
import sys
from pathlib import Path

OUT = Path(__file__).parent / "images" / "pipeline.svg"
# rule: (column, row, what it does in a few words)
PLACES = {
    "prompts": (0, 0, "class names to prompts"),
    "synthesis": (1, 0, "prompts to images"),
    "attentioncut": (2, 0, "attention to masks: a cut"),
    "world": (0, 2, "given images to test on"),
    "inversion": (1, 1, "images to latents"),
    "recording": (2, 2, "given images to attention"),
    "head": (3, 1, "trained on synthetic pairs"),
    "prediction": (4, 1, "given images to masks"),
    "mask_methods": (5, 2, "rivals of AttentionCut"),
    "evaluation": (5, 1, "masks to scores"),
    "summary": (6, 1, "every interval and test"),
    "tables": (7, 0, "and metrics"),
    "figures": (7, 1, "galleries and charts"),
    "claims": (7, 2, "of the paper, held to rules"),
}
# Rules that do the same to given images as another to synthetic ones.
SAME = {"benchmark_inversion": "inversion", "world_split": "world"}
LEFT_OUT = ("all", "world")  # targets, which make nothing
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 150, 46, 40, 34, 10
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b2a3a;text-anchor:middle}"
    ".what{font-size:9.5px;fill:#51606f}rect{fill:#eef4fa;stroke:#3b6ea5;stroke-width:1.2}"
    "path{fill:none;stroke:#8797a8;stroke-width:1.3}svg{background:#fff}"
)


def graph() -> dict[str, set[str]]:
    """The rules of the default profile, and for each those that it reads from."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "--quiet", "all"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    labels = re.findall(r'(\d+)\[label = "(\w+)"', said)
    names = {number: SAME.get(name, name) for number, name in labels if name not in LEFT_OUT}
    reads: dict[str, set[str]] = {name: set() for name in names.values()}
    for source, target in re.findall(r"(\d+) -> (\d+)", said):
        if source in names and target in names and names[source] != names[target]:
            reads[names[target]].add(names[source])
    return reads


def reduced(reads: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows but those that two others say together."""
    return [
        (source, target)
        for target, sources in sorted(reads.items())
        for source in sorted(sources)
        if not any(source in reads[other] for other in sources)
    ]


def picture(arrows: list[tuple[str, str]]) -> str:
    """The SVG."""

    def corner(name: str) -> tuple[float, float]:
        column, row, _ = PLACES[name]
        return MARGIN + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y)

    shapes = []
    for source, target in arrows:
        (x0, y0), (x1, y1) = corner(source), corner(target)
        if abs(x1 - x0) < WIDTH:  # one above the other
            down = y1 > y0
            start = (x0 + WIDTH / 2, y0 + HEIGHT * down)
            end = (x1 + WIDTH / 2, y1 + HEIGHT * (not down))
            bend = (start[1] + end[1]) / 2
            curve = f"C{start[0]} {bend} {end[0]} {bend} {end[0]} {end[1]}"
        elif y1 > y0 and x1 - x0 > 2 * WIDTH:  # over what stands between them
            start, end = (x0 + WIDTH, y0 + HEIGHT / 2), (x1 + WIDTH / 2, y1)
            curve = f"H{end[0] - HEIGHT} Q{end[0]} {start[1]} {end[0]} {end[1]}"
        else:
            start, end = (x0 + WIDTH, y0 + HEIGHT / 2), (x1, y1 + HEIGHT / 2)
            bend = (start[0] + end[0]) / 2
            curve = f"C{bend} {start[1]} {bend} {end[1]} {end[0]} {end[1]}"
        shapes.append(f'<path d="M{start[0]} {start[1]} {curve}" marker-end="url(#tip)"/>')
    for name, (_, _, what) in PLACES.items():
        x, y = corner(name)
        shapes.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
            f'<text x="{x + WIDTH / 2}" y="{y + 20}">{name.replace("_", " ")}</text>'
            f'<text class="what" x="{x + WIDTH / 2}" y="{y + 36}">{what}</text>'
        )
    right, low = (max(corner(name)[axis] for name in PLACES) for axis in (0, 1))
    size = f"{right + WIDTH + MARGIN} {low + HEIGHT + MARGIN}"
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8" fill="#8797a8" stroke="none"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">'
        f"<title>The pipeline of dseg</title><style>{STYLE}</style><defs>{tip}</defs>"
        f'<rect x="0" y="0" width="100%" height="100%" style="fill:#fff;stroke:none"/>'
        + "\n".join(shapes)
        + "</svg>\n"
    )


def main() -> int:
    reads = graph()
    if reads.keys() != PLACES.keys():
        print(f"error: places and rules differ: {sorted(reads.keys() ^ PLACES.keys())}")
        return 2
    OUT.write_text(picture(reduced(reads)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
