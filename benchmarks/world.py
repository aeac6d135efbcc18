"""Speed of the renderer on one thread, as one line of JSON.

    python benchmarks/world.py [--count 2000] [--size 64]

Expected on one core of a 2020s server: 600 to 1100 training images a second at 64 pixels.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dseg.world.renderer import annotated_scenes, captioned_images  # noqa: E402


def rate(draw: Callable[[int], object], count: int) -> float:
    """Images per second of `draw(count)`, after a first call that fills the caches."""
    draw(96)
    start = time.perf_counter()
    draw(count)
    return round(count / (time.perf_counter() - start), 1)


def main() -> None:
    """Time the training images and each domain of the annotated ones."""
    parser = argparse.ArgumentParser(description="images per second of the renderer, one thread")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    size = options.size
    draws: dict[str, Callable[[int], object]] = {
        "training": lambda n: captioned_images(n, 0, size=size),
        "annotated": lambda n: annotated_scenes(n, 0, size=size),
        "shift": lambda n: annotated_scenes(n, 0, size=size, domain="shift"),
        "multi": lambda n: annotated_scenes(n, 0, size=size, objects=(2, 3)),
    }
    rates = {name: rate(draw, options.count) for name, draw in draws.items()}
    print(json.dumps({"size": size, "count": options.count, "images_per_second": rates}))


if __name__ == "__main__":
    main()
