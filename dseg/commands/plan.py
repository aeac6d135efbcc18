"""Command `plan`: what a run will cost on this machine, before anything starts."""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from dseg.base_model.files import read_configuration
from dseg.base_model.pipeline import load_pipeline
from dseg.base_model.stand_in import NAME
from dseg.commands.stand_in import is_family, stand_in_folder
from dseg.errors import DsegError
from dseg.files import write_text
from dseg.orchestration.budget import Geometry, Stage, count_stages
from dseg.orchestration.calibration import Rates, calibrate
from dseg.orchestration.plan import MODEL_INDEX, Plan
from dseg.settings.fields import NotNegative, Text
from dseg.settings.profiles import DEFAULT_PROFILE
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash
from dseg.settings.typed_json import Record, read_record

# What a rate depends on, beside the machine and the versions of the libraries.
MEASURED = (
    "model",
    "synthesis.batch_size",
    "synthesis.guidance",
    "attention",
    "attentioncut",
    "inversion.batch_size",
    "features",
    "head",
)
CALIBRATION = "calibration.json"
GB = 1e9
# Stable Diffusion 1.x, as `dseg.base_model.stand_in` builds it.
FAMILY = Geometry((512, 512), (4, 64, 64), {8: 1280, 4: 1280, 2: 640, 1: 320}, 1000)


def run(profile: str = DEFAULT_PROFILE, calibrate: bool = False) -> None:
    """Print jobs, passes of the U-Net, hours and disk of every stage of a profile.

    Args:
        profile: Name of the profile.
        calibrate: First measure how long each part takes here, which takes minutes: on the
            profile's device, with its model, or random weights of the same architecture where
            the model is not there.

    Raises:
        DsegError: There is no such profile, or nothing is known of its model's size.
    """
    plan = Plan(profile)
    settings, file = plan.settings, Path(plan.artifact(CALIBRATION))
    folder = find_model(settings)
    if calibrate:
        _calibrate(settings, folder, file)
    geometry = read_geometry(settings, folder)
    stages = count_stages(settings, geometry, plan.sizes())
    found = read_calibration(settings, file)
    print(report(profile, stages, found, shutil.disk_usage(".").free))


def find_model(settings: Settings) -> Path | None:
    """The folder of the base model; None if it is on the hub and was not fetched yet."""
    from huggingface_hub import try_to_load_from_cache

    model = settings.model
    if (Path(model.path) / MODEL_INDEX).is_file():
        return Path(model.path)
    if len(Path(model.path).parts) != 2:
        return None
    # The U-Net's configuration beside the index: a tokenizer alone may have been fetched.
    names = ("unet/config.json", MODEL_INDEX)
    found = [try_to_load_from_cache(model.path, name, revision=model.revision) for name in names]
    files = [file for file in found if isinstance(file, str)]
    return Path(files[-1]).parent if len(files) == len(names) else None


def read_geometry(settings: Settings, folder: Path | None) -> Geometry:
    """Sizes of the base model, from its configuration.

    Args:
        settings: Of the run.
        folder: Of the model; None takes the family's sizes where it is known.

    Raises:
        DsegError: The model is neither there nor of a known family.
    """
    if folder is None:
        if not is_family(settings.model.path):
            raise DsegError(
                f"model.path: {settings.model.path} is not on this machine, and nothing is known "
                "of its size: fetch it first"
            )
        return FAMILY
    unet, vae, scheduler = (
        read_configuration(folder, part) for part in ("unet", "vae", "scheduler")
    )
    side, widths = unet.get("sample_size"), unet.get("block_out_channels")
    encoder = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
    if not isinstance(side, int) or not widths or not encoder:
        raise DsegError(f"{folder}: does not say of what size its images are; fetch it anew")
    size = side * 2 ** (len(encoder) - 1)
    return Geometry(
        (size, size),
        (unet.get("in_channels", 4), side, side),
        {2**level: width for level, width in enumerate(widths)},
        scheduler.get("num_train_timesteps", 1000),
    )


def read_calibration(settings: Settings, file: Path) -> dict[str, Any] | None:
    """What `--calibrate` wrote, if it was with these settings."""
    if not file.is_file():
        return None
    found = read_record(file, _Calibration, "remove it and measure again with --calibrate")
    same = found.settings == _key(settings)
    return found.model_dump() if same and set(found.rates) == set(Rates.__annotations__) else None


def report(
    profile: str, stages: Sequence[Stage], calibration: dict[str, Any] | None, free: int
) -> str:
    """The plan as text.

    Args:
        profile: Name of the profile.
        stages: From `count_stages`.
        calibration: From `read_calibration`; without it no hours are shown.
        free: Free bytes on the disk.
    """
    rates = Rates(**calibration["rates"]) if calibration else None
    rows = [
        [
            stage.name,
            stage.jobs,
            stage.images,
            stage.passes,
            f"{stage.gpu_hours(rates):.2f}" if rates else "?",
            f"{stage.core_hours(rates):.2f}" if rates else "?",
            f"{stage.size / GB:.1f}",
        ]
        for stage in stages
    ]
    total = sum(stage.size for stage in stages)
    scratch = max(stage.scratch for stage in stages)
    rows.append(
        [
            "together",
            sum(stage.jobs for stage in stages),
            "",
            sum(stage.passes for stage in stages),
            f"{sum(stage.gpu_hours(rates) for stage in stages):.2f}" if rates else "?",
            f"{sum(stage.core_hours(rates) for stage in stages):.2f}" if rates else "?",
            f"{total / GB:.1f}",
        ]
    )
    heads = ["stage", "jobs", "images", "U-Net passes", "device hours", "core hours", "GB"]
    lines = [tabulate(rows, heads, tablefmt="simple", intfmt=",", disable_numparse=[4, 5, 6])]
    lines.append("")
    if calibration:
        lines.append(
            f"Hours: measured on {calibration['device']} with {calibration['model']}; divide those "
            "of devices by their number. Evaluation, tables and figures are not counted."
        )
    else:
        command = f"dseg plan --profile {profile} --calibrate"
        lines.append(f"Hours: not calibrated. `{command}` measures what a pass takes here.")
    lines.append(
        f"Disk: {total / GB:.1f} GB stay, and up to {scratch / GB:.1f} GB more for each head while "
        f"it is trained; {free / GB:.1f} GB are free here."
    )
    if total + scratch > free:
        lines.append("That is not enough: put artifacts/ on a larger disk, or lower prompts.count.")
    return "\n".join(lines)


def _calibrate(settings: Settings, folder: Path | None, file: Path) -> None:
    model, name = settings.model, settings.model.path
    if folder is None:
        if not is_family(model.path):
            raise DsegError(f"model.path: {model.path} is not on this machine: fetch it first")
        folder, name = stand_in_folder(), NAME
        print(f"{model.path} is not on this machine: measuring with {name}", file=sys.stderr)
    device = model.device
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DsegError(
            f"model.device: {device}, but there is no GPU here, and rates of a CPU would say "
            "nothing of it: calibrate where the run is to be"
        )
    if device == "cpu" or not torch.cuda.is_available():
        torch.set_num_threads(1)  # as in a job of the workflow
    start = time.perf_counter()
    pipe = load_pipeline(folder, dtype=model.dtype, device=device)
    rates = calibrate(pipe, settings, loading=time.perf_counter() - start)
    found = {
        "settings": _key(settings),
        "device": device_name(pipe.device),
        "model": name,
        "torch": torch.__version__,
        "rates": asdict(rates),
    }
    text = json.dumps(found, indent=1) + "\n"
    write_text(file, text)


def device_name(device: torch.device) -> str:
    """What a person calls a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, one core"


def _key(settings: Settings) -> str:
    return settings_hash(sections(settings, *MEASURED))


class _Calibration(Record):
    settings: Text
    device: Text
    model: Text
    rates: Mapping[str, NotNegative]
