"""Choose the settings of the profile photos, on its split val alone.

    python benchmarks/photo_settings.py [--docs FILE]

AttentionCut, the noun told: one setting after another is given the value that has the highest mean
IoU, and once more, from the settings of params.yaml. GrabCut from a rectangle, and GrabCut seeded
by attention: the best of a grid. With --docs the table of what was tried replaces what stands
between two markers in that file; the best values are printed, to be written into the profile. Needs
the photographs (`dseg data prepare clothing`) and the base model. Some minutes of one core.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded

import numpy as np  # noqa: E402
import torch  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mask_methods import replace_table  # noqa: E402

from dseg.base_model.pipeline import encode, fit, load_pipeline, timestep_at  # noqa: E402
from dseg.datasets.opening import open_benchmark  # noqa: E402
from dseg.method.attention import AttentionPlan  # noqa: E402
from dseg.method.cut.attentioncut import attention_cut  # noqa: E402
from dseg.method.cut.evidence import Attention  # noqa: E402
from dseg.method.ground import name_ground  # noqa: E402
from dseg.method.prompts import item_seed  # noqa: E402
from dseg.method.recording import noised, noun_prompt, record  # noqa: E402
from dseg.method.resample import resize  # noqa: E402
from dseg.progress import track  # noqa: E402
from dseg.rivals.grabcut import grabcut  # noqa: E402
from dseg.rivals.image_alone import grabcut_rectangle  # noqa: E402
from dseg.settings.masks import MaskMethodSettings  # noqa: E402
from dseg.settings.profiles import profile_params  # noqa: E402
from dseg.settings.reading import load_settings  # noqa: E402
from dseg.settings.run import Settings  # noqa: E402
from dseg.stages.image_masks import SIZE  # noqa: E402

RECORDED = {  # what attention is recorded: timesteps, and whether it is the noun's share
    "share, 0.1 to 0.5": ((0.1, 0.2, 0.3, 0.4, 0.5), True),
    "noun, 0.1 to 0.5": ((0.1, 0.2, 0.3, 0.4, 0.5), False),
    "noun, 0.7 to 0.9": ((0.7, 0.8, 0.9), False),
    "share, 0.5 to 0.7": ((0.5, 0.6, 0.7), True),
    "share, 0.7 to 0.9": ((0.7, 0.8, 0.9), True),
    "share, 0.8 to 0.95": ((0.8, 0.85, 0.9, 0.95), True),
    "share, 0.5 to 0.9": ((0.5, 0.6, 0.7, 0.8, 0.9), True),
    "share, 0.3 to 0.9": ((0.3, 0.5, 0.7, 0.9), True),
}
TRIED: Mapping[str, tuple[Any, ...]] = {
    "cross_strides": ((1,), (1, 2)),
    "exponent": (0.5, 0.75, 1.0),
    "tau": (0.05, 0.1, 0.2),
    "walk_steps": (0, 1, 2),
    "power": (1.0, 3.0, 6.0),
    "lambda_self": (1.0, 3.0, 9.0),
    "lambda_contrast": (0.01, 0.02, 0.05, 0.1),
    "lambda_link": (0.1, 0.3, 1.0),
    "lambda_colour": (0.5, 1.0, 2.0, 3.0),
    "colour_bandwidth": (5.0, 8.0, 12.0, 20.0),
    "colour_iterations": (1, 3, 6),
}
ROUNDS = 2


class Val:
    """The photographs of val with recorded attention and true masks."""

    def __init__(self, settings: Settings) -> None:
        entry = settings.benchmark("val")
        samples = open_benchmark(entry.layout, entry.root, images=entry.images)
        pipe = load_pipeline(settings.model.path, device="cpu")
        self.full = [sample.image() for sample in samples]
        self.images = np.stack([fit(pipe, image) for image in self.full])
        self.truths = [sample.mask() for sample in samples]
        attention = settings.attention
        plan = AttentionPlan(
            attention.cross_strides, attention.affinity_stride, attention.neighbours
        )
        phrases = [
            noun_prompt(str(sample.noun), name_ground(image))
            for sample, image in zip(samples, self.images, strict=True)
        ]
        seeds = [item_seed(settings.seed, sample.id) for sample in samples]
        self.attention: dict[str, list[Attention]] = {}
        for name, (fractions, share) in RECORDED.items():
            steps = [timestep_at(pipe, fraction) for fraction in fractions]
            z = noised(pipe, encode(pipe, self.images), seeds, steps)
            maps = record(pipe, z, steps, phrases, replace(plan, share=share))
            self.attention[name] = [
                maps.of_image(row, image.shape) for row, image in enumerate(self.images)
            ]

    def iou(self, masks: Iterator[np.ndarray]) -> float:
        """Mean IoU, in percent, of soft masks of any size."""
        overlaps = []
        for soft, truth in zip(masks, self.truths, strict=True):
            assert truth is not None  # a saliency layout has masks
            mask = resize(soft.astype(np.float32), truth.shape) > 0.5
            overlaps.append((mask & truth).sum() / max((mask | truth).sum(), 1))
        return 100 * float(np.mean(overlaps))

    def of_attention(self, make: Callable[[Attention, np.ndarray], np.ndarray], name: str) -> float:
        """As `iou`, of masks made of the attention recorded at some timesteps."""
        pairs = zip(self.attention[name], self.images, strict=True)
        return self.iou(make(attention, image) for attention, image in pairs)


def choose_cut(settings: Settings, val: Val) -> tuple[list[list[str]], dict[str, Any]]:
    """Rows of what was tried, and the best value of each setting."""
    chosen: dict[str, Any] = {"recorded": next(iter(RECORDED))}
    usual = settings.attentioncut

    def score(values: Mapping[str, Any]) -> float:
        cut = usual.model_copy(update={k: v for k, v in values.items() if k != "recorded"})
        return val.of_attention(
            lambda attention, image: attention_cut(attention, image, cut).soft,
            values["recorded"],
        )

    chosen |= {name: getattr(usual, name) for name in TRIED}
    best = score(chosen)
    rows = [["as in params.yaml", "", f"{best:.1f}"]]
    for turn in range(ROUNDS):
        for name, values in {"recorded": tuple(RECORDED), **TRIED}.items():
            before = chosen[name]
            for value in track([each for each in values if each != before], f"{turn + 1}: {name}"):
                found = score({**chosen, name: value})
                rows.append([f"{turn + 1}: {name}", str(value), f"{found:.1f}"])
                if found > best:
                    best, chosen[name] = found, value
            if chosen[name] != before:
                rows.append([f"**{name}**", f"**{chosen[name]}**", f"**{best:.1f}**"])
    return rows, chosen


def choose_rectangle(val: Val) -> list[list[str]]:
    """GrabCut from a rectangle: margin and iterations, the best first."""
    small = [np.rint(resize(image, SIZE)).astype(np.uint8) for image in val.full]
    rows = []
    for margin, iterations in itertools.product((0.02, 0.05, 0.1, 0.15, 0.2), (1, 3, 5)):
        found = val.iou(
            grabcut_rectangle(image, margin=margin, iterations=iterations)
            for image in track(small, f"rectangle {margin:g}, {iterations}")
        )
        rows.append([f"margin {margin:g}", f"{iterations} iterations", f"{found:.1f}"])
    return sorted(rows, key=lambda row: -float(row[2]))


def choose_seeded(val: Val, recorded: str) -> list[list[str]]:
    """GrabCut seeded by attention: exponent, steps, seeds and iterations, the best first."""
    rows = []
    grid = itertools.product((0.5, 1.0), (0, 1, 2), ((0.5, 0.5), (0.7, 0.5), (0.8, 0.3)), (1, 3, 5))
    for exponent, steps, seeds, iterations in grid:
        method = MaskMethodSettings(
            method="grabcut", exponent=exponent, steps=steps, seeds=seeds, iterations=iterations
        )

        def make(attention: Attention, image: np.ndarray, method=method) -> np.ndarray:
            return grabcut(attention.at((1,)), image, settings=method)

        found = val.of_attention(make, recorded)
        how = f"exponent {exponent:g}, steps {steps}, seeds {list(seeds)}"
        rows.append([how, f"{iterations} iterations", f"{found:.1f}"])
    return sorted(rows, key=lambda row: -float(row[2]))


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", "---", "---:"], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Try, print and, if asked, write."""
    parser = argparse.ArgumentParser(description="Settings of the profile photos, on val")
    parser.add_argument("--docs", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    base, *overrides = profile_params("photos")
    settings = load_settings(base, overrides)
    val = Val(settings)
    rows, chosen = choose_cut(settings, val)
    tables = {
        "cut": _markdown(["AttentionCut", "value", "IoU"], rows),
        "rectangle": _markdown(["GrabCut from a rectangle", "", "IoU"], choose_rectangle(val)[:6]),
        "seeded": _markdown(
            ["GrabCut seeded by attention", "", "IoU"],
            choose_seeded(val, chosen["recorded"])[:6],
        ),
    }
    for name, table in tables.items():
        print(f"\n{table}")
        if options.docs is not None:
            replace_table(options.docs, name, table, Path(__file__).name)
    print(f"\n{chosen}")


if __name__ == "__main__":
    main()
