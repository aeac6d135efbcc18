"""Stage `tracking`: tables and figures -> MLflow runs."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dseg import comparison
from dseg.config import Settings, sections
from dseg.errors import DsegError
from dseg.pipeline import model_identity
from dseg.settings import WORLD
from dseg.shards import read_shard, write_atomically
from dseg.table import FORMS
from dseg.tracking import DataSet, Record, Reproduction, log

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
    "variants",
    "evaluation",
    "syntheses",
    "instruments",
    "tracking",
)
STORE = Path("mlflow.db")
_LABELS = ("method", "label", "benchmark", "images", "seeds", "protocol")
_WAYS = ("postprocessing", "mode")  # of the table of post-processings, more than one a method


def run(
    settings: Settings,
    artifacts: Path,
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
        masks: All shards of masks of the synthetic images.
        results: Folder results/<profile>, with tables, figures, metrics.json and contrasts.json.
        claims: The page of claims.
        out: JSON file for the id of the parent run and the hash of what was logged.
        store: SQLite file of MLflow.

    Raises:
        DsegError: A result, shard or benchmark is missing, or as `model_identity`.
    """
    benchmarks = {name: _benchmark(settings, name, artifacts) for name in settings.benchmarks}
    pairs = _pairs(masks)
    reproduction = Reproduction(
        profile=settings.profile,
        settings=sections(settings),
        model=model_identity(
            settings.model.path, revision=settings.model.revision, dtype=settings.model.dtype
        ),
        whole=Record(
            name=settings.profile,
            metrics=json.loads(_need(results / "metrics.json").read_text(encoding="utf-8")),
            files=[results / "metrics.json"],
            data=[*benchmarks.values(), pairs],
        ),
        tables=[
            _record(
                results,
                name,
                _figures(settings, name),
                [pairs, *(benchmarks[each] for each in _benchmarks(settings, name))],
            )
            for name in comparison.tables(settings)
        ]
        + [_claims(results, claims, [pairs, *benchmarks.values()])],
    )
    parent, added = log(reproduction, experiment=settings.tracking.experiment, store=store)
    said = "logged" if added else "logged already"
    print(f"tracking: {said} as run {parent} of experiment {settings.tracking.experiment}")
    text = json.dumps({"run": parent, "content": reproduction.content_hash()}, indent=1) + "\n"
    write_atomically(Path(out), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _record(results: Path, name: str, figures: Iterable[str], data: Sequence[DataSet]) -> Record:
    tables = [_need(results / "tables" / f"{name}.{suffix}") for suffix in FORMS]
    pictures = [
        _need(results / "figures" / f"{figure}.{suffix}")
        for figure in figures
        for suffix in ("png", "svg")
    ]
    with (results / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    metrics = {
        "/".join([row["benchmark"], row["method"], *_way(row), column]): float(value)
        for row in rows
        for column, value in row.items()
        if column not in (*_LABELS, *_WAYS) and value
    }
    columns = {column: [row[column] for row in rows] for column in (rows[0] if rows else ())}
    return Record(name, metrics, [*tables, *pictures], data, columns)


def _way(row: Mapping[str, str]) -> list[str]:
    return [row[column] for column in _WAYS if column in row]


def _claims(results: Path, page: Path, data: Sequence[DataSet]) -> Record:
    """The map from claims to results: a row and some metrics for each contrast."""
    path = _need(results / "contrasts.json")
    records = json.loads(path.read_text(encoding="utf-8"))
    metrics = {}
    for each in records:
        sides = f"{each['method']}/{each['reference'] or 'level'}"
        for key in ("difference", "low", "high", "p_holm"):
            if key in each:
                name = f"{each['claim']}/{each['benchmark']}/{sides}/{key}"
                metrics[name] = float(each[key])
    keys = dict.fromkeys(key for each in records for key in each)
    columns = {key: [str(each.get(key, "")) for each in records] for key in keys}
    return Record("claims", metrics, [path, _need(page)], data, columns)


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
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return DataSet(name, digest.hexdigest()[:16], folder.as_posix(), "evaluation")


def _pairs(masks: Sequence[Path]) -> DataSet:
    """The synthetic pairs, by what determines them: items and settings, not gigabytes of pixels."""
    digest = hashlib.sha256()
    for path in masks:
        shard = read_shard(path, fields=["kept"])
        digest.update(json.dumps([shard.settings_hash, *shard.ids]).encode())
        digest.update(shard.fields["kept"].tobytes())
    source = Path(masks[0]).parent.as_posix() if masks else ""
    return DataSet("synthetic-pairs", digest.hexdigest()[:16], source, "training")


def _need(path: Path) -> Path:
    if not path.is_file():
        raise DsegError(f"{path}: no such result; run the stages tables and figures first")
    return path
