"""Time and memory of every stage at Stable Diffusion 1.5's size, without its weights.

    python benchmarks/full_size.py [--batches 1 4 8 16] [--dtype float16] [--repeats 3]

Builds a pipeline folder of that architecture with random weights (2.1 GB in the user's cache, made
once, nothing downloaded) and calls the project's own functions with it, with the settings of
profile sd15. Writes results/full-size/<device>.json and .md. Without a GPU: float32, batch 1, two
steps, one image; half an hour on a core that is shared, 8 GB of memory.

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
import time
from collections.abc import Sequence
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # of numpy: a cut is timed on one core

import torch  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

import attentioncut as cuts  # noqa: E402
from attention_scene import disc_scene  # noqa: E402

from dseg.attentioncut import attention_cut  # noqa: E402
from dseg.calibration import (  # noqa: E402
    KINDS,
    PROMPT,
    attention_plan,
    time_autoencoder,
    time_features,
    time_recording,
    time_training,
)
from dseg.config import load_settings  # noqa: E402
from dseg.pipeline import embed, load_pipeline  # noqa: E402
from dseg.prompts import Phrase, noun_span  # noqa: E402
from dseg.settings import Settings  # noqa: E402
from dseg.shards import write_atomically  # noqa: E402
from dseg.stages.inversion import invert_images  # noqa: E402
from dseg.stages.stand_in import stand_in_folder  # noqa: E402
from dseg.stand_in import NAME, PARAMETERS  # noqa: E402
from dseg.synthesis import initial_noise, sample, synthesise  # noqa: E402

SIZES = (64, 128, 192, 256, 512)  # of the pixel layer of a cut
GB = 1e9


class Peak:
    """The most memory held: on a GPU since the last call, else by the process so far."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def can_restart(self) -> bool:
        """Whether a peak can be forgotten."""
        return self.device.type == "cuda"

    def restart(self) -> None:
        """Forget the peak, where that is possible."""
        gc.collect()
        if self.can_restart:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def read(self) -> float:
        """Gigabytes."""
        if self.can_restart:
            return round(torch.cuda.max_memory_allocated(self.device) / GB, 3)
        unit = 1 if sys.platform == "darwin" else 1024
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB, 3)


def measure_batch(pipe, settings: Settings, batch: int, repeats: int, peak: Peak) -> dict:
    """Every part at one batch size: seconds an image, and the peak after it."""
    rows = 2 if settings.synthesis.guidance > 1 else 1
    chosen = settings.model_copy(
        update={"head": settings.head.model_copy(update={"batch_size": batch})}
    )
    found: dict[str, dict[str, float]] = {}

    def note(name: str, seconds: float, **more: float) -> None:
        found[name] = {"seconds": round(seconds, 4), "peak_gb": peak.read(), **more}
        print(f"batch {batch}: {name}: {seconds:.3f} s an image", file=sys.stderr, flush=True)

    peak.restart()
    if peak.can_restart:  # its peak without recording; the one with it is that of the next call
        sample(
            pipe,
            initial_noise(pipe, range(batch)),
            embed(pipe, [PROMPT]).expand(batch, -1, -1),
            steps=1,
            guidance=settings.synthesis.guidance,
        )
    without = peak.read()
    peak.restart()
    plain, recorded, _ = time_recording(pipe, batch, rows, attention_plan(settings), repeats)
    overhead = 100 * (recorded / plain - 1)
    note("sampling step", plain, peak_gb=without)
    note("sampling step, recorded", recorded, overhead_percent=round(overhead, 1))
    peak.restart()
    few = repeats if peak.can_restart else 1
    plain, recorded, _ = time_recording(pipe, batch, 1, attention_plan(settings), few)
    note("pass of inversion", plain)
    note("pass on a given image, recorded", recorded)
    peak.restart()
    note("features", time_features(pipe, batch, settings.features.strides, few))
    peak.restart()
    encoding, decoding = time_autoencoder(pipe, batch, few)
    note("encoding", encoding)
    note("decoding", decoding)
    for kind in KINDS:
        peak.restart()
        note(f"training step, {kind}", time_training(pipe, chosen, kind, repeats))
    return found


def measure_stages(pipe, settings: Settings, peak: Peak, counts: Sequence[int]) -> dict:
    """Whole stages with few steps: does memory grow with their number?"""
    template = PROMPT.removesuffix("dog")
    phrase = Phrase(PROMPT, len(template), len(PROMPT))
    span = noun_span(pipe.tokenizer, phrase)
    found: dict[str, dict[str, float]] = {}
    for steps in counts:
        peak.restart()
        start = time.perf_counter()
        result = synthesise(
            pipe,
            [phrase.text],
            [span],
            [0],
            steps=steps,
            guidance=settings.synthesis.guidance,
            record=(0.0, 1.0),
            plan=attention_plan(settings),
        )
        spent = time.perf_counter() - start
        found[f"synthesis, {steps} steps, all recorded"] = {
            "seconds": round(spent, 2),
            "peak_gb": peak.read(),
        }
        print(f"synthesis, {steps} steps: {spent:.1f} s", file=sys.stderr, flush=True)
    for steps in counts:
        inversion = settings.inversion.model_copy(
            update={"steps": steps, "timesteps": (0.0, (steps - 1) / steps), "fixed_point": 1}
        )
        peak.restart()
        start = time.perf_counter()
        invert_images(pipe, result.images, inversion)
        found[f"inversion, {steps - 1} steps"] = {
            "seconds": round(time.perf_counter() - start, 2),
            "peak_gb": peak.read(),
        }
    return found


def measure_cuts(settings: Settings, images: int) -> dict:
    """AttentionCut on hard scenes of 512 px with 64 x 64 cells, one core; CPU milliseconds."""
    torch.set_num_threads(1)
    scenes = [
        disc_scene(512, 64, settings.attention.neighbours, seed, noise=30.0, distinct=0.25)
        for seed in range(images)
    ]
    found = {}
    for size in SIZES:
        chosen = settings.attentioncut.model_copy(update={"size": size})
        found[str(size)] = cuts.milliseconds(
            lambda scene, chosen=chosen: attention_cut(*scene.inputs, chosen), scenes, 1
        )
        print(f"AttentionCut, size {size}: {found[str(size)]}", file=sys.stderr, flush=True)
    return found


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
        "load": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
        "dtype": dtype,
        "torch": torch.__version__.split("+")[0],
        "model": NAME,
        "parameters": sum(PARAMETERS.values()),
    }


def as_markdown(found: dict) -> str:
    """The figures as tables; nothing in them is written by hand."""
    about = found["about"]
    lines = [
        f"# Full size on {about['name']}",
        "",
        f"Written by `python benchmarks/full_size.py`. {about['model']}, "
        f"{about['parameters']:,} parameters, {about['dtype']}, torch {about['torch']}, "
        f"{about['threads']} thread(s) of {about['cores']} cores, "
        f"load of the machine at the start {about['load']}.",
        "",
        "| batch | part | seconds an image | images/s | peak GB | |",
        "|--:|---|--:|--:|--:|---|",
    ]
    for batch, parts in found["batches"].items():
        for name, values in parts.items():
            rate = 1 / values["seconds"] if values["seconds"] else float("inf")
            extra = values.get("overhead_percent")
            shown = f"recording: {extra:+.1f} % time" if extra is not None else ""
            lines.append(
                f"| {batch} | {name} | {values['seconds']:.4g} | {rate:.4g} "
                f"| {values['peak_gb']:.2f} | {shown} |"
            )
    lines += ["", "| stage, one image | seconds | peak GB |", "|---|--:|--:|"]
    lines += [
        f"| {name} | {values['seconds']:.1f} | {values['peak_gb']:.2f} |"
        for name, values in found["stages"].items()
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
    if about["device"] != "cuda":
        lines += ["", "Peaks are of the process, and never fall: what counts is where they rise."]
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
    on_gpu = torch.cuda.is_available() and options.device != "cpu"
    dtype = options.dtype or ("float16" if on_gpu else "float32")
    settings = load_settings(
        ROOT / "params.yaml", [ROOT / "workflow" / "profiles" / "sd15" / "params.yaml"]
    )
    pipe = load_pipeline(stand_in_folder(options.cache), dtype=dtype, device=options.device)
    peak = Peak(pipe.device)
    found: dict = {"about": describe(pipe.device, dtype), "batches": {}}
    # Stages first: on a CPU a peak cannot be forgotten, so the small comes before the large.
    found["stages"] = measure_stages(pipe, settings, peak, (4, 20) if on_gpu else (2, 4))
    for batch in options.batches or ([1, 4, 8, 16] if on_gpu else [1]):
        found["batches"][str(batch)] = measure_batch(pipe, settings, batch, options.repeats, peak)
    del pipe
    found["cuts"] = measure_cuts(settings, options.cuts)
    stem = options.out / found["about"]["device"]
    for suffix, text in (("json", json.dumps(found, indent=1) + "\n"), ("md", as_markdown(found))):
        path = stem.with_suffix(f".{suffix}")
        write_atomically(path, lambda temporary, text=text: temporary.write_text(text, "utf-8"))
    print(f"{stem}.json and .md written", file=sys.stderr)


if __name__ == "__main__":
    main()
