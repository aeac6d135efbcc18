"""Time and memory of every stage at Stable Diffusion 1.5's size, without its weights.

    python benchmarks/full_size.py [--batches 1 4 8 16] [--dtype float16] [--repeats 3]

Builds a pipeline folder of that architecture with random weights (2.1 GB in the user's cache, made
once, nothing downloaded) and calls the project's own functions with it, with the settings of
profile sd15. Writes results/full-size/<device>.json and .md. Without a GPU: float32, batch 1, two
or four steps, one image; about eight minutes of one core and 7 GB of memory.

Bars: recording attention costs at most 10 % of the time and 1 GB at batch 4 on a GPU; memory does
not grow with the number of steps; AttentionCut takes at most 150 ms at 512 px on one core.
"""

import argparse
import gc
import json
import os
import platform
import resource
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # of numpy: a cut is timed on one core

import torch  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")]

import attentioncut as cuts  # noqa: E402
from attention_scene import Scene, disc_scene  # noqa: E402

from dseg.base_model.device import choose_device  # noqa: E402
from dseg.base_model.pipeline import embed, load_pipeline  # noqa: E402
from dseg.base_model.stand_in import NAME, PARAMETERS  # noqa: E402
from dseg.commands.stand_in import stand_in_folder  # noqa: E402
from dseg.files import write_text  # noqa: E402
from dseg.method.cut.attentioncut import attention_cut  # noqa: E402
from dseg.method.inversion import invert_images  # noqa: E402
from dseg.method.prompts import Phrase, noun_span  # noqa: E402
from dseg.method.synthesis import initial_noise, sample, synthesise  # noqa: E402
from dseg.orchestration.calibration import (  # noqa: E402
    KINDS,
    PROMPT,
    attention_plan,
    time_autoencoder,
    time_features,
    time_recording,
    time_training,
)
from dseg.settings.masks import AttentionCutSettings  # noqa: E402
from dseg.settings.reading import load_settings  # noqa: E402
from dseg.settings.run import Settings  # noqa: E402

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SIZES = (64, 128, 192, 256, 512)  # of the pixel layer of a cut
GB = 1e9
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """The most memory held since it was last forgotten: of the GPU, or of this process."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def restart(self) -> None:
        """Forget the peak."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        elif RESET.exists():
            RESET.write_text("5")  # Linux: sets the peak of resident memory to what is held now

    def read(self) -> float:
        """Gigabytes; where a process cannot forget its peak, of its whole life."""
        if self.device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self.device) / GB, 3)
        if RESET.exists():
            lines = STATUS.read_text().splitlines()
            (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
            return round(int(peak) * 1024 / GB, 3)
        unit = 1 if sys.platform == "darwin" else 1024
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB, 3)


class Notes:
    """What was found so far, written anew with every figure, so that none is lost."""

    def __init__(self, about: dict, out: Path) -> None:
        self.found: dict = {"about": about, "cuts": {}, "parts": [], "steps": []}
        self.stem = out / about["device"]

    def add(self, kind: str, **values: object) -> None:
        """A row of a table."""
        self.found[kind].append(values)
        print(f"{kind}: {values}", file=sys.stderr, flush=True)
        self.write()

    def write(self) -> None:
        """Write the results as JSON and as tables."""
        texts = {"json": json.dumps(self.found, indent=1) + "\n", "md": as_markdown(self.found)}
        for suffix, text in texts.items():
            path = self.stem.with_suffix(f".{suffix}")
            write_text(path, text)


def measure_batch(
    pipe: "StableDiffusionPipeline", settings: Settings, batch: int, repeats: int, notes: Notes
) -> None:
    """Every part at one batch size: seconds an image, and the peak."""
    peak, plan = Peak(pipe.device), attention_plan(settings)
    rows = 2 if settings.synthesis.guidance > 1 else 1
    chosen = settings.model_copy(
        update={"head": settings.head.model_copy(update={"batch_size": batch})}
    )

    def note(part: str, seconds: float, **more: object) -> None:
        peak_gb = more.pop("peak_gb", peak.read())
        notes.add("parts", batch=batch, part=part, seconds=seconds, peak_gb=peak_gb, **more)

    peak.restart()
    without = None
    if pipe.device.type == "cuda":  # the peak without recording; the next call has that with it
        sample_only(pipe, settings, batch, 1)
        without = peak.read()
        peak.restart()
    plain, recorded, _ = time_recording(pipe, batch, rows, plan, repeats)
    note("sampling step", plain, peak_gb=without)
    note("sampling step, recorded", recorded, overhead_percent=100 * (recorded / plain - 1))
    few = repeats if pipe.device.type == "cuda" else 1
    peak.restart()
    plain, recorded, _ = time_recording(pipe, batch, 1, plan, few)
    note("pass of inversion", plain, peak_gb=None)
    note("pass on a given image, recorded", recorded)
    peak.restart()
    note("features", time_features(pipe, batch, settings.features.strides, few))
    peak.restart()
    encoding, decoding = time_autoencoder(pipe, batch, few)
    note("encoding", encoding, peak_gb=None)
    note("decoding", decoding)
    for kind in KINDS:
        peak.restart()
        note(f"training step, {kind}", time_training(pipe, chosen, kind, repeats))


def sample_only(
    pipe: "StableDiffusionPipeline", settings: Settings, batch: int, steps: int
) -> None:
    """Sampling without recording, and without decoding."""
    context = embed(pipe, [PROMPT]).expand(batch, -1, -1)
    guidance = settings.synthesis.guidance
    sample(pipe, initial_noise(pipe, range(batch)), context, steps=steps, guidance=guidance)


def measure_steps(
    pipe: "StableDiffusionPipeline", settings: Settings, counts: Sequence[int], notes: Notes
) -> None:
    """Whole stages with few steps and with more: does memory grow with their number?"""
    peak = Peak(pipe.device)
    span = noun_span(pipe.tokenizer, Phrase(PROMPT, len(PROMPT) - 3, len(PROMPT)))
    for steps in counts:
        peak.restart()
        result = synthesise(
            pipe,
            [PROMPT],
            [span],
            [0],
            steps=steps,
            guidance=settings.synthesis.guidance,
            record=(0.0, 1.0),
            plan=attention_plan(settings),
        )
        notes.add("steps", stage="synthesis, all recorded", steps=steps, peak_gb=peak.read())
    for steps in counts:
        # A grid of one point more, carried to its last.
        inversion = settings.inversion.model_copy(
            update={"steps": steps + 1, "timesteps": (0.0, steps / (steps + 1)), "fixed_point": 0}
        )
        peak.restart()
        invert_images(pipe, result.images, inversion)
        notes.add("steps", stage="inversion", steps=steps, peak_gb=peak.read())


def measure_cuts(settings: Settings, images: int, notes: Notes) -> None:
    """AttentionCut on hard scenes of 512 px with 64 x 64 cells, one core; CPU milliseconds."""
    kept = settings.attention.neighbours
    scenes = [
        disc_scene(512, 64, kept, seed, noise=30.0, distinct=0.25, doubt=0.6)
        for seed in range(images)
    ]
    for size in SIZES:
        chosen = settings.attentioncut.model_copy(update={"size": size, "cross_strides": (1,)})
        work = partial(cut, settings=chosen)
        notes.found["cuts"][str(size)] = cuts.milliseconds(work, scenes, repeats=1)
        print(f"size {size}: {notes.found['cuts'][str(size)]}", file=sys.stderr, flush=True)
        notes.write()


def cut(scene: Scene, settings: AttentionCutSettings) -> object:
    """The whole of AttentionCut."""
    return attention_cut(*scene.inputs, settings)


def describe(device: torch.device, dtype: str) -> dict:
    """What it was measured on."""
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    elif Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((x.partition(": ")[2] for x in lines if x.startswith("model name")), name)
    return {
        "device": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "dtype": dtype,
        "torch": torch.__version__.split("+")[0],
        "model": NAME,
        "parameters": sum(PARAMETERS.values()),
    }


def as_markdown(found: dict) -> str:
    """The figures as tables; nothing in them is written by hand."""
    about = found["about"]
    clock = "seconds" if about["device"] == "cuda" else "seconds of one core"
    lines = [
        f"# Full size on {about['name']}",
        "",
        f"Written by `python benchmarks/full_size.py`. {about['model']}, "
        f"{about['parameters']:,} parameters, {about['dtype']}, torch {about['torch']}.",
        "",
        f"| batch | part | {clock} an image | images/s | peak GB | |",
        "|--:|---|--:|--:|--:|---|",
    ]
    for row in found["parts"]:
        extra = row.get("overhead_percent")
        shown = f"recording: {extra:+.1f} % time" if extra is not None else ""
        peak = "" if row["peak_gb"] is None else f"{row['peak_gb']:.2f}"
        lines.append(
            f"| {row['batch']} | {row['part']} | {row['seconds']:.4g} | {1 / row['seconds']:.4g} "
            f"| {peak} | {shown} |"
        )
    lines += ["", "| stage, one image | steps | peak GB |", "|---|--:|--:|"]
    lines += [
        f"| {row['stage']} | {row['steps']} | {row['peak_gb']:.3f} |" for row in found["steps"]
    ]
    lines += [
        "",
        "AttentionCut at 512 px with 64 x 64 cells, one core, hard simulated scenes:",
        "",
        "| size of the pixel layer | median ms | 95th percentile ms |",
        "|--:|--:|--:|",
    ]
    lines += [
        f"| {size} | {values['median']:.0f} | {values['p95']:.0f} |"
        for size, values in found["cuts"].items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default=None, help="default: float16 on a GPU, else float32")
    parser.add_argument("--batches", type=int, nargs="+", default=None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cuts", type=int, default=10, help="scenes to cut")
    parser.add_argument("--cache", type=Path, default=None, help="folder for the random weights")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "full-size")
    options = parser.parse_args()
    settings = load_settings(
        ROOT / "params.yaml", [ROOT / "workflow" / "profiles" / "sd15" / "params.yaml"]
    )
    device = choose_device(options.device)
    on_gpu = device.type == "cuda"
    if not on_gpu:
        torch.set_num_threads(1)
    dtype = options.dtype or ("float16" if on_gpu else "float32")
    notes = Notes(describe(device, dtype), options.out)
    measure_cuts(settings, options.cuts, notes)
    pipe = load_pipeline(stand_in_folder(options.cache), dtype=dtype, device=options.device)
    for batch in options.batches or ([1, 4, 8, 16] if on_gpu else [1]):
        measure_batch(pipe, settings, batch, options.repeats, notes)
    measure_steps(pipe, settings, (4, 20) if on_gpu else (2, 4), notes)
    print(f"{notes.stem}.json and .md written", file=sys.stderr)


if __name__ == "__main__":
    main()
