"""Stage `tracking`: the summary of a run, its tables and figures -> MLflow runs."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path

from dseg.artifacts.shards import read_shard
from dseg.base_model.pipeline import model_identity
from dseg.errors import DsegError
from dseg.files import file_hash, write_json
from dseg.reporting import comparison
from dseg.reporting.claims import Claim, judge_claims, to_records
from dseg.reporting.forms import FORMS
from dseg.reporting.mlflow import DataSet, Record, Reproduction, log
from dseg.reporting.summary import Summary
from dseg.reporting.table import Table, percent
from dseg.reporting.tables.assembly import build_tables
from dseg.settings.run import WORLD, Settings
from dseg.settings.sections import sections

SECTIONS = (
    "profile",
    "seed",
    "model",
    "world",
    "benchmarks",
    "prompts",
    "synthesis",
    "attention",
    "recording",
    "attentioncut",
    "inversion",
    "features",
    "head",
    "recordings",
    "mask_recordings",
    "inversions",
    "mask_methods",
    "image_methods",
    "variants",
    "evaluation",
    "syntheses",
    "instruments",
    "tracking",
)
STORE = Path("mlflow.db")
_WAYS = ("postprocessing", "mode")  # where a table has more than one row a method


def run(
    settings: Settings,
    artifacts: Path,
    summary: Path,
    masks: Sequence[Path],
    results: Path,
    claims: Path,
    out: Path,
    store: Path = STORE,
) -> None:
    """Log the results of a profile, once, and write down under which run.

    Args:
        settings: The sections named in `SECTIONS`.
        artifacts: Folder of the profile's artifacts, where world/ lies.
        summary: Table of the stage summary.
        masks: All shards of masks of the synthetic images.
        results: Folder results/<profile>, with tables, figures, metrics.json and contrasts.json.
        claims: The page of claims.
        out: JSON file for the id of the parent run and the hash of what was logged.
        store: SQLite file of MLflow.

    Raises:
        DsegError: A result, shard or benchmark is missing, or as `model_identity`.
    """
    benchmarks = {name: _benchmark(settings, name, artifacts) for name in settings.benchmarks}
    pairs, numbers = _pairs(masks), Summary.read(summary)
    reproduction = Reproduction(
        profile=settings.profile,
        settings=sections(settings),
        model=model_identity(
            settings.model.path, revision=settings.model.revision, dtype=settings.model.dtype
        ),
        whole=Record(
            name=settings.profile,
            metrics=numbers.flat(),
            files=[_need(results / "metrics.json")],
            data=[*benchmarks.values(), pairs],
        ),
        tables=[
            _record(
                results,
                table,
                _figures(settings, table.name),
                [pairs, *(benchmarks[each] for each in _benchmarks(settings, table.name))],
            )
            for table in build_tables(settings, numbers)
        ]
        + [
            _claims(judge_claims(settings, numbers), results, claims, [pairs, *benchmarks.values()])
        ],
    )
    parent, added = log(reproduction, experiment=settings.tracking.experiment, store=store)
    said = "logged" if added else "logged already"
    print(f"tracking: {said} as run {parent} of experiment {settings.tracking.experiment}")
    write_json(Path(out), {"run": parent, "content": reproduction.content_hash()})


def _record(results: Path, table: Table, figures: Iterable[str], data: Sequence[DataSet]) -> Record:
    files = [_need(results / "tables" / f"{table.name}.{suffix}") for suffix in FORMS]
    pictures = [
        _need(results / "figures" / f"{figure}.{suffix}")
        for figure in figures
        for suffix in ("png", "svg")
    ]
    heads = [column.heading for column in table.columns]
    texts = list(zip(*table.records, strict=True)) or [()] * len(heads)
    columns = dict(zip(heads, texts, strict=True)) if table.records else {}
    return Record(table.name, table_metrics(table), [*files, *pictures], data, columns)


def table_metrics(table: Table) -> dict[str, float]:
    """The numbers of a table by benchmark, method and column: all of them that are of ours."""
    frame = table.frame[table.frame["method"] != ""]
    ways = [name for name in _WAYS if name in frame]
    keys = ["benchmark", "method", *ways]
    numbers = frame.drop(columns=["images", "seeds", "row"], errors="ignore")
    numbers = numbers.select_dtypes("number")
    return {
        "/".join([*filter(None, key), str(column)]): float(value)
        for key, row in zip(
            frame[keys].itertuples(index=False, name=None), numbers.to_dict("records"), strict=True
        )
        for column, value in row.items()
        if isfinite(value)
    }


def _claims(judged: Sequence[Claim], results: Path, page: Path, data: Sequence[DataSet]) -> Record:
    """The map from claims to results: a row and some metrics for each contrast."""
    records = to_records(judged)
    metrics: dict[str, float] = {}
    for claim in judged:
        for finding in claim.findings:
            contrast, found = finding.contrast, finding.numbers
            sides = f"{contrast.method}/{contrast.reference or 'level'}"
            name = f"{claim.name}/{contrast.benchmark}/{sides}"
            if found is not None:
                metrics |= {f"{name}/p_holm": finding.p_adjusted}
                for key, value in percent("difference", found.interval).items():
                    metrics[f"{name}/{key.removeprefix('difference_')}"] = value
    keys = dict.fromkeys(key for each in records for key in each)
    columns = {key: [str(each.get(key, "")) for each in records] for key in keys}
    files = [_need(results / "contrasts.json"), _need(page)]
    return Record("claims", metrics, files, data, columns)


def _figures(settings: Settings, table: str) -> list[str]:
    """The figures that belong to a table."""
    every = comparison.figures(settings)
    galleries = [name for name in every if name.startswith("gallery-")]
    belong = {
        "saliency": [
            *galleries,
            "precision-recall",
            *(name for name in every if name == comparison.SHIFT_FIGURE),
        ],
        "mask-methods": ["mask-methods", "masks"],
        "pairs": ["pairs"],
    }
    own = f"{comparison.ABLATION_FIGURE}{table}"
    return [*belong.get(table, []), *(name for name in every if name == own)]


def _benchmarks(settings: Settings, table: str) -> list[str]:
    """The benchmarks that a table is about."""
    if table == "localisation":
        return comparison.box_benchmarks(settings)
    if table == "mask-methods":
        return comparison.mask_benchmarks(settings)
    if table == comparison.SYNTHETIC_MASKS:  # about the synthetic images alone
        return []
    return comparison.held_out(settings)


def _benchmark(settings: Settings, name: str, artifacts: Path) -> DataSet:
    root = settings.benchmarks[name].root
    folder = artifacts / root if root.startswith(WORLD) else Path(root)
    if not folder.is_dir():
        raise DsegError(f"{folder}: no such folder, but it is the root of benchmarks.{name}")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        digest.update(bytes.fromhex(file_hash(path)))
    return DataSet(name, digest.hexdigest()[:16], folder.as_posix(), "evaluation")


def _pairs(masks: Sequence[Path]) -> DataSet:
    """The synthetic pairs, by what determines them: items and settings, not gigabytes of pixels."""
    digest = hashlib.sha256()
    for path in masks:
        shard = read_shard(path, kind="masks", fields=["kept"])
        digest.update(json.dumps([shard.settings_hash, *shard.ids]).encode())
        digest.update(shard.fields["kept"].tobytes())
    source = Path(masks[0]).parent.as_posix() if masks else ""
    return DataSet("synthetic-pairs", digest.hexdigest()[:16], source, "training")


def _need(path: Path) -> Path:
    if not path.is_file():
        raise DsegError(f"{path}: no such result; run the stages tables and figures first")
    return path
