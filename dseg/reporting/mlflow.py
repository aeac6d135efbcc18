"""Log finished results to MLflow: a parent run for the reproduction, a child run for each table.

Logging is idempotent. Runs carry the hash of everything they log; if a finished one has it,
nothing is added, and what an interrupted logging left behind is deleted first. MLflow is the one
place that a run writes to outside its own folders, so a lock keeps two of them apart: creating
the database twice at once fails.
"""

import hashlib
import importlib.util
import json
import logging
import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dseg
from dseg.errors import DsegError
from dseg.files import file_hash, locked

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

CONTENT, PROFILE, KIND = "dseg.content", "dseg.profile", "dseg.kind"
PARENT = "mlflow.parentRunId"
REPRODUCTION = "reproduction"
_AT_ONCE = 100  # parameters in one call


@dataclass(frozen=True)
class DataSet:
    """A data set that results depend on.

    Attributes:
        name: Its name.
        digest: Hexadecimal digest of its contents.
        source: Where it lies.
        context: What it was for: training or evaluation.
    """

    name: str
    digest: str
    source: str
    context: str


@dataclass(frozen=True)
class Record:
    """What one run logs.

    Attributes:
        name: Name of the run.
        metrics: Numbers by name.
        files: Files to keep with it.
        data: The data sets behind it.
        table: Columns of a table to show on the page of the run; empty for none.
    """

    name: str
    metrics: Mapping[str, float]
    files: Sequence[Path]
    data: Sequence[DataSet]
    table: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """All of it as JSON-able values, with digests for files; paths do not count."""
        files = {path.name: file_hash(path) for path in self.files}
        data = sorted((each.name, each.digest, each.context) for each in self.data)
        return {"name": self.name, "metrics": dict(self.metrics), "files": files, "data": data}


@dataclass(frozen=True)
class Reproduction:
    """What the parent run logs, and its children.

    Attributes:
        profile: Name of the profile.
        settings: Nested settings; they become parameters of all runs.
        model: Digest of the base model.
        whole: The parent's record.
        tables: The children's records.
    """

    profile: str
    settings: Mapping[str, Any]
    model: str
    whole: Record
    tables: Sequence[Record]

    def content_hash(self) -> str:
        """SHA-256 of everything that is logged, 32 hexadecimal digits."""
        content = {
            "profile": self.profile,
            "settings": self.settings,
            "model": self.model,
            "records": [record.content() for record in (self.whole, *self.tables)],
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def log(reproduction: Reproduction, *, experiment: str, store: Path) -> tuple[str, bool]:
    """Log a reproduction unless it is logged already.

    Args:
        reproduction: What to log.
        experiment: MLflow experiment; made if there is none.
        store: SQLite file; made if there is none. Files go to the folder mlruns beside it.

    Returns:
        Id of the parent run, and whether it was added by this call.

    Raises:
        DsegError: As `check_store`.
    """
    with locked(store.with_name(f"{store.name}.lock")):
        check_store(store, experiment)
        _follow(store, experiment)
        client = _client(store)
        place = _experiment(client, experiment, store)
        _delete_unfinished(client, place, reproduction.profile)
        content = reproduction.content_hash()
        known = _search(client, place, {CONTENT: content, KIND: REPRODUCTION})
        if known:
            return known[0].info.run_id, False
        tags = {CONTENT: content, PROFILE: reproduction.profile, "dseg.model": reproduction.model}
        tags["dseg.version"] = dseg.__version__
        parent = _start(client, place, reproduction.whole, tags | {KIND: REPRODUCTION})
        for record in reproduction.tables:
            child = _start(client, place, record, tags | {KIND: "table", PARENT: parent})
            _write(client, child, record, reproduction.settings)
        # Last, so that a parent that is finished has all its children.
        _write(client, parent, reproduction.whole, reproduction.settings)
        return parent, True


def check_store(store: Path, experiment: str) -> None:
    """Look whether results can be logged, before they are computed.

    Raises:
        DsegError: The store is no database of this MLflow, or the experiment was deleted.
    """
    if not store.exists():
        return
    aside = f"move {store} and mlruns/ aside, and the results are logged to a new one"
    try:
        with closing(sqlite3.connect(store)) as database:
            query = "SELECT lifecycle_stage FROM experiments WHERE name = ?"
            found = database.execute(query, [experiment]).fetchone()
            version = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise DsegError(f"{store}: not a database of MLflow ({error}); {aside}") from error
    newest = _schema()
    if version is None or newest not in (None, version[0]):
        raise DsegError(
            f"{store}: made by another version of MLflow: `mlflow db upgrade sqlite:///{store}` "
            f"brings an older one up to date, or {aside}"
        )
    if found is not None and found[0] != "active":
        raise DsegError(
            f"{store}: the experiment {experiment!r} was deleted: restore it (`mlflow experiments "
            "restore`), or name another as tracking.experiment"
        )


def _schema() -> str | None:
    """The version of the store's tables that this MLflow works with, if it can be told.

    Of its migrations, the one that no other builds on; read as text, since the package takes
    seconds to import.
    """
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None and spec.origin is not None
    scripts = (Path(spec.origin).parent / "store/db_migrations/versions").glob("*.py")
    text = "\n".join(script.read_text(encoding="utf-8") for script in scripts)
    made = {*re.findall(r"^revision = ['\"](\w+)", text, re.MULTILINE)}
    built_on = {*re.findall(r"^down_revision = ['\"](\w+)", text, re.MULTILINE)}
    newest = made - built_on
    return newest.pop() if len(newest) == 1 else None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings by dotted name, as text: ``head.epochs``: ``30``; lists as JSON."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _client(store: Path) -> "MlflowClient":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow"):  # their notes on making tables are no news
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=f"sqlite:///{store.resolve()}")


def _folder(store: Path) -> str:
    """The address of the files beside a store."""
    return (store.resolve().parent / "mlruns").as_uri()


def _follow(store: Path, experiment: str) -> None:
    """Let an experiment, and its runs, name the files beside the store, wherever it lies now.

    MLflow keeps whole addresses: in a checkout that was moved, new runs would go to the old place.
    An address that is not the usual one somebody has chosen, so it stays.
    """
    if not store.exists():
        return
    here = _folder(store)
    with closing(sqlite3.connect(store)) as database, database:
        query = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?"
        for number, there in database.execute(query, [experiment]).fetchall():
            if there == here or not re.fullmatch("file://.*/mlruns", there):
                continue
            change = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
            database.execute(change, [here, number])
            database.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, length(?) + 1) "
                "WHERE experiment_id = ? AND substr(artifact_uri, 1, length(?)) = ?",
                [here, there, number, f"{there}/", f"{there}/"],
            )


def _experiment(client: "MlflowClient", name: str, store: Path) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return client.create_experiment(name, artifact_location=_folder(store))


def _search(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> "list[Run]":
    """Finished runs with these tags."""
    conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    conditions.append("attributes.status = 'FINISHED'")
    return list(client.search_runs([experiment], " and ".join(conditions)))


def _delete_unfinished(client: "MlflowClient", experiment: str, profile: str) -> None:
    """Delete the reproductions of a profile that were not logged to the end, with their tables."""
    ours = client.search_runs([experiment], f"tags.`{PROFILE}` = '{profile}'", max_results=1000)
    finished = {run.info.run_id for run in ours if run.info.status == "FINISHED"}
    for run in ours:
        parent = run.data.tags.get(PARENT, run.info.run_id)
        if run.info.run_id not in finished or parent not in finished:
            client.delete_run(run.info.run_id)


def _start(client: "MlflowClient", experiment: str, record: Record, tags: Mapping[str, str]) -> str:
    run = client.create_run(experiment, tags=dict(tags), run_name=record.name)
    return str(run.info.run_id)


def _write(client: "MlflowClient", run: str, record: Record, settings: Mapping[str, Any]) -> None:
    """Log what a run is to hold, then mark it as finished."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    flat = sorted(flatten(settings).items())
    for start in range(0, len(flat), _AT_ONCE):
        params = [Param(name, value) for name, value in flat[start : start + _AT_ONCE]]
        client.log_batch(run, params=params)
    numbers = [Metric(name, value, timestamp=0, step=0) for name, value in record.metrics.items()]
    for start in range(0, len(numbers), _AT_ONCE):
        client.log_batch(run, metrics=numbers[start : start + _AT_ONCE])
    client.log_inputs(
        run,
        datasets=[
            DatasetInput(
                Dataset(each.name, each.digest, "local", json.dumps({"uri": each.source})),
                [InputTag("mlflow.data.context", each.context)],
            )
            for each in record.data
        ],
    )
    for path in record.files:
        client.log_artifact(run, str(path))
    if record.table:
        columns = {name: list(values) for name, values in record.table.items()}
        client.log_table(run, columns, f"{record.name}.json")
    client.set_terminated(run, "FINISHED")
