"""CPU time of AttentionCut an image on one thread, as JSON: the whole and its parts.

    python benchmarks/attentioncut.py [--images 20] [--repeats 3] [--shards SHARD ...]

With the settings of params.yaml, on simulated scenes that are hard to cut and, with --shards, on
what a run has synthesised. Expected on one core of a 2020s server, median: 12 ms at 64 px with
16 x 16 cells on synthetic images (bar: 15), 18 on the hard scenes; 80 to 90 ms at 512 px with
64 x 64 cells and a working size of 128 (bar: 150).
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is loaded

import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from attention_scene import Scene, disc_scene  # noqa: E402

from dseg.artifacts.shards import read_shards  # noqa: E402
from dseg.method.cut.attentioncut import attention_cut  # noqa: E402
from dseg.method.cut.energy import pose  # noqa: E402
from dseg.method.cut.graphcut import minimum_cut  # noqa: E402
from dseg.rivals.thresholds import BASELINES  # noqa: E402
from dseg.settings.reading import load_settings  # noqa: E402

SCENES = {  # name: image, cells a side, working sizes
    "64 px, 16 cells": (64, 16, (64,)),
    "512 px, 32 cells": (512, 32, (96, 128)),
    "512 px, 64 cells": (512, 64, (96, 128)),
}
KEPT = 64  # entries of a row of attention, as recorded by default


def milliseconds(work: Callable[[Scene], object], scenes: list[Scene], repeats: int) -> dict:
    """Median and 95th percentile of CPU time over the scenes, after a call that fills caches."""
    work(scenes[0])
    times = []
    for scene in scenes * repeats:
        start = time.thread_time()
        work(scene)
        times.append(1e3 * (time.thread_time() - start))
    median, high = np.quantile(times, [0.5, 0.95])
    return {"median": round(float(median), 2), "p95": round(float(high), 2)}


def measure(scenes: list[Scene], size: int, repeats: int) -> dict:
    """The whole cut, without its colour term, and its two large parts."""
    chosen = load_settings(ROOT / "params.yaml").attentioncut
    settings = chosen.model_copy(update={"size": size, "cross_strides": (1,)})
    plain = settings.model_copy(update={"lambda_colour": 0.0})
    graphs = {id(scene): pose(*scene.inputs, settings).graph for scene in scenes}
    works: dict[str, Callable[[Scene], object]] = {
        "attention_cut": lambda scene: attention_cut(*scene.inputs, settings),
        "without colour": lambda scene: attention_cut(*scene.inputs, plain),
        "one graph": lambda scene: pose(*scene.inputs, settings),
        "one minimum cut": lambda scene: minimum_cut(graphs[id(scene)]),
    }
    return {name: milliseconds(work, scenes, repeats) for name, work in works.items()}


def walk(scene: Scene) -> np.ndarray:
    """The strongest simple baseline, for comparison."""
    return BASELINES["walk-1"](*scene.inputs)


def synthesised(shards: list[Path], count: int) -> list[Scene]:
    """The first images of synthesis shards; there is no truth, and none is needed here."""
    fields = read_shards(shards).fields
    images = fields["image"][:count]
    return [
        Scene(
            cross=fields["cross_1"][index].astype(np.float32),
            indices=fields["affinity_indices"][index],
            weights=fields["affinity_weights"][index],
            image=image,
            mask=np.zeros(image.shape[:2], dtype=bool),
        )
        for index, image in enumerate(images)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="CPU milliseconds an image, one thread")
    parser.add_argument("--images", type=int, default=20, help="different scenes of each kind")
    parser.add_argument("--repeats", type=int, default=3, help="times each is cut")
    parser.add_argument("--shards", type=Path, nargs="*", default=[], help="of the synthesis")
    options = parser.parse_args()
    figures: dict[str, dict] = {}
    for name, (image, grid, sizes) in SCENES.items():
        scenes = [
            disc_scene(image, grid, KEPT, seed, noise=30.0, distinct=0.25, doubt=0.6)
            for seed in range(options.images)
        ]
        figures[name] = {f"size {size}": measure(scenes, size, options.repeats) for size in sizes}
        figures[name]["walk-1"] = milliseconds(walk, scenes, options.repeats)
    if options.shards:
        scenes = synthesised(options.shards, options.images)
        figures["synthesised"] = {"size 64": measure(scenes, 64, options.repeats)}
    chosen = {"images": options.images, "repeats": options.repeats}
    print(json.dumps({"unit": "CPU ms an image", **chosen, **figures}, indent=2))


if __name__ == "__main__":
    main()
