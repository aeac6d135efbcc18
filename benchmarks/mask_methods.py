"""Mask methods and the terms of the cut's energy on renders that no split of a run holds.

    python benchmarks/mask_methods.py rivals [--images 96] [--seed 102] [--docs FILE]
    python benchmarks/mask_methods.py energy [--images 96] [--seed 102] [--docs FILE]
    python benchmarks/mask_methods.py tried [--images 96] [--seed 101] [--docs FILE]
    python benchmarks/mask_methods.py grabcut [--images 96] [--seed 101] [--docs FILE]

`rivals`: mean IoU of the rows `mask_methods` of params.yaml that start from the usual recording, on
noised and inverted renders of the domain of `val` and on noised ones of `shift`, and p that
AttentionCut differs (sign-flip test, Holm over the rows). `energy`: each term's mean share
of the energy at its minimum, and the IoU lost without it. `tried`: IoU with one setting of
`attentioncut` changed at a time. `grabcut`: the grid its settings were chosen from. With --docs the
table also replaces what stands between its two markers in that file. Settings were chosen on seed
101; other seeds are other images. One to two minutes of one core each.
"""

import argparse
import itertools
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded

import numpy as np  # noqa: E402
import torch  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dseg.base_model.pipeline import encode, load_pipeline, timestep_at, train_timesteps  # noqa: E402
from dseg.evaluation.statistics import compare, holm  # noqa: E402
from dseg.method.attention import AttentionPlan  # noqa: E402
from dseg.method.cut.attentioncut import attention_cut  # noqa: E402
from dseg.method.cut.energy import pose, terms, with_colour  # noqa: E402
from dseg.method.cut.evidence import Attention  # noqa: E402
from dseg.method.cut.graphcut import minimum_cut  # noqa: E402
from dseg.method.inversion import invert_images, snap  # noqa: E402
from dseg.method.prompts import item_seed  # noqa: E402
from dseg.method.recording import noised, noun_prompt, record  # noqa: E402
from dseg.rivals.by_name import mask_method  # noqa: E402
from dseg.rivals.grabcut import grabcut  # noqa: E402
from dseg.rivals.thresholds import Baseline  # noqa: E402
from dseg.settings.masks import MaskMethodSettings  # noqa: E402
from dseg.settings.reading import load_settings  # noqa: E402
from dseg.settings.run import Settings  # noqa: E402
from dseg.world.splits import draw_split  # noqa: E402

BATCH = 32
WITHOUT = {  # each part of the energy: the settings that take it away
    "walk": {"walk_steps": 0},
    "colour": {"lambda_colour": 0.0},
    "contrast": {"lambda_contrast": 0.0},
    "self": {"lambda_self": 0.0},
    "link": {"lambda_link": 0.0},
    "pixel layer": {"size": 0},
}


TRIED = {  # one change at a time
    "exponent": (0.5, 0.75),
    "cross_strides": ((1, 2), (1, 2, 4)),
    "tau": (0.05, 0.2),
    "clip": (0.005, 0.1),
    "walk_steps": (0, 2),
    "neighbours": (4, 32),
    "power": (1.0, 6.0),
    "lambda_self": (1.0, 9.0),
    "lambda_contrast": (0.01, 0.04),
    "lambda_link": (0.1, 0.6),
    "lambda_colour": (1.0, 3.0),
    "colour_iterations": (1, 2, 8),
    "colour_bandwidth": (5.0, 12.0, 24.0),
}


class Renders:
    """Renders of one split with their recorded attention and true masks."""

    def __init__(self, settings: Settings, split: str, seed: int, images: int, name: str) -> None:
        recording, attention = settings.recorded(name), settings.attention
        model = settings.model
        pipe = load_pipeline(model.path, dtype=model.dtype, device=model.device)
        scenes = draw_split(split, seed, images)
        self.images, self.masks = scenes.images, scenes.masks
        plan = AttentionPlan(
            attention.cross_strides, attention.affinity_stride, attention.neighbours
        )
        self.attention: list[Attention] = []
        for start in range(0, images, BATCH):
            batch = scenes.images[start : start + BATCH]
            phrases = [noun_prompt(kind) for kind in scenes.kinds[start : start + BATCH]]
            if recording.latents == "inversion":
                inversion, count = settings.inversion, train_timesteps(pipe)
                steps = [snap(f, inversion.steps, count) for f in recording.timesteps]
                kept = [inversion.timesteps.index(f) for f in recording.timesteps]
                z = torch.from_numpy(invert_images(pipe, batch, inversion)[:, kept]).float()
            else:
                steps = [timestep_at(pipe, fraction) for fraction in recording.timesteps]
                seeds = [item_seed(seed, f"{split}-{start + row}") for row in range(len(batch))]
                z = noised(pipe, encode(pipe, batch), seeds, steps)
            maps = record(pipe, z, steps, phrases, plan)
            self.attention += [maps.of_image(row, batch.shape[1:]) for row in range(len(batch))]

    def scores(self, make: Baseline) -> np.ndarray:
        """IoU of the masks that ``make`` makes of the attention and the image, one a render."""
        masks = [make(*inputs) > 0.5 for inputs in zip(self.attention, self.images, strict=True)]
        pairs = zip(masks, self.masks, strict=True)
        return np.array([(mask & true).sum() / (mask | true).sum() for mask, true in pairs])


def rivals(settings: Settings, images: int, seed: int) -> str:
    """The table of `rivals`."""
    sets = {
        "val, noised": Renders(settings, "val", seed, images, "attentioncut-noise"),
        "val, inverted": Renders(settings, "val", seed, images, "attentioncut-inversion"),
        "shift, noised": Renders(settings, "shift", seed, images, "attentioncut-noise"),
    }
    usual = "attentioncut-noise"
    names = [name for name, row in settings.mask_methods.items() if row.recording == usual]
    table: dict[str, list[str]] = {name: [] for name in names}
    for renders in sets.values():
        scores = {name: renders.scores(mask_method(settings, name)) for name in names}
        others = [name for name in names if name != "attentioncut"]
        tests = [compare(scores["attentioncut"], scores[name], seed=0) for name in others]
        p = dict(zip(others, holm([test.p_value for test in tests]), strict=True))
        for name in names:
            table[name] += [
                f"{100 * scores[name].mean():.1f}",
                f"{p[name]:.0e}" if name in p else "",
            ]
    heads = [head for name in sets for head in (name, "p")]
    return _markdown(["method", *heads], [[name, *row] for name, row in table.items()])


def energy(settings: Settings, images: int, seed: int) -> str:
    """The table of `energy`."""
    sets = [
        Renders(settings, split, seed, images, "attentioncut-noise") for split in ("val", "shift")
    ]
    chosen = settings.attentioncut
    shares = [_shares(renders, chosen) for renders in sets]
    full = [_iou(renders, chosen) for renders in sets]
    rows = [["all of it", "", f"{100 * full[0]:.1f}", "", f"{100 * full[1]:.1f}"]]
    rows.append(["data", _percent(shares[0]["data"]), "", _percent(shares[1]["data"]), ""])
    for part, change in WITHOUT.items():
        row = [part]
        for renders, share, whole in zip(sets, shares, full, strict=True):
            loss = _iou(renders, chosen.model_copy(update=change)) - whole
            row += [_percent(share[part]) if part in share else "", f"{100 * loss:+.1f}"]
        rows.append(row)
    heads = ["part", "share, val", "IoU without it, val", "share, shift", "IoU without it, shift"]
    return _markdown(heads, rows)


def _iou(renders: Renders, chosen) -> float:
    def make(attention, image):
        return attention_cut(attention, image, chosen).mask

    return float(renders.scores(make).mean())


def _shares(renders: Renders, chosen) -> dict[str, float]:
    """Mean over images of each term's share of the energy at the last minimum."""
    found: list[dict[str, float]] = []
    for attention, image in zip(renders.attention, renders.images, strict=True):
        problem = pose(attention.at(chosen.cross_strides), image, chosen)
        shape, foreground = problem.foreground.shape, problem.foreground
        for _ in range(chosen.colour_iterations):
            graph = with_colour(problem, foreground, chosen.lambda_colour)
            labels = minimum_cut(graph)
            foreground = labels[: foreground.size].reshape(shape)
        costs = terms(problem, graph, labels)
        total = sum(costs.values())
        found.append({name: cost / total for name, cost in costs.items()})
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def tried(settings: Settings, images: int, seed: int) -> str:
    """The table of `tried`."""
    sets = [
        Renders(settings, split, seed, images, "attentioncut-noise") for split in ("val", "shift")
    ]
    chosen = settings.attentioncut
    whole = [_iou(renders, chosen) for renders in sets]
    rows = [["as it is", "", *(f"{100 * iou:.1f}" for iou in whole)]]
    for name, values in TRIED.items():
        for value in values:
            changed = chosen.model_copy(update={name: value})
            gains = [
                100 * (_iou(renders, changed) - iou)
                for renders, iou in zip(sets, whole, strict=True)
            ]
            kept = getattr(chosen, name)
            rows.append([f"{name}: {kept}", str(value), *(f"{gain:+.1f}" for gain in gains)])
    return _markdown(["setting: as it is", "tried", "val", "shift"], rows)


def grid(settings: Settings, images: int, seed: int) -> str:
    """The table of `grabcut`, the best first."""
    sets = [
        Renders(settings, split, seed, images, "attentioncut-noise") for split in ("val", "shift")
    ]
    rows = []
    seeds = ((0.5, 0.5), (0.6, 0.4), (0.7, 0.5), (0.4, 0.4), (0.8, 0.5))
    for exponent, steps, pair, count in itertools.product((0.5, 1.0), (1, 2), seeds, (1, 2, 5)):
        chosen = MaskMethodSettings(
            method="grabcut", exponent=exponent, steps=steps, seeds=pair, iterations=count
        )

        def make(attention, image, chosen=chosen):
            return grabcut(attention.at((1,)), image, settings=chosen)

        means = [f"{100 * renders.scores(make).mean():.1f}" for renders in sets]
        rows.append([f"{exponent:g}", str(steps), str(list(pair)), str(count), *means])
    rows.sort(key=lambda row: -float(row[4]))
    return _markdown(["exponent", "steps", "seeds", "iterations", "val", "shift"], rows)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def replace_table(file: Path, name: str, table: str, script: str = "mask_methods.py") -> None:
    """Put a table between the markers of its script, which stay."""
    begin, end = (
        f"<!-- {name}: written by benchmarks/{script} -->",
        f"<!-- end of {name} -->",
    )
    text = file.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"error: {file}: expected the lines {begin!r} and {end!r} once each")
    before, _, rest = text.partition(begin)
    file.write_text(f"{before}{begin}\n\n{table}\n\n{end}{rest.partition(end)[2]}", "utf-8")


def main() -> None:
    """Measure, print and, if asked, write."""
    parser = argparse.ArgumentParser(description="IoU of mask methods on fresh renders")
    parser.add_argument("what", choices=["rivals", "energy", "tried", "grabcut"])
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--seed", type=int, help="default: 101 to choose, 102 to measure")
    parser.add_argument("--docs", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_settings(ROOT / "params.yaml")
    make = {"rivals": rivals, "energy": energy, "tried": tried, "grabcut": grid}[options.what]
    seed = options.seed or (101 if options.what in ("tried", "grabcut") else 102)
    table = f"{make(settings, options.images, seed)}\n\n"
    table += f"Percent; {options.images} renders of seed {seed}"
    table += {
        "rivals": "; p: AttentionCut differs (two-sided sign-flip test, Holm over the rows).",
        "energy": "; share of the energy at its minimum, mean over images.",
        "tried": "; change of IoU.",
        "grabcut": ".",
    }[options.what]
    print(table)
    if options.docs is not None:
        replace_table(options.docs, options.what, table)


if __name__ == "__main__":
    main()
