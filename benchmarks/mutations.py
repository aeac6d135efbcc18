"""Damaged files, reader by reader: how many are read, refused in one line, or worse.

    python benchmarks/mutations.py [--inputs 1000] [--readers shard ...] [--out results/mutations]

Every reader of `tests/support/readers.py` is given its own small files, one of them damaged by
`tests/support/mutations.py`, from seeds 0, 1, 2, ... It runs in a process of its own. What raises
anything but a DsegError, or ends the process, is a traceback; what takes more than 2 s of computing
(or 30 s of waiting) a hang, and the process is ended; what takes more than 500 MB above what the
process had before is over memory. With --keep FOLDER such inputs are kept. About four minutes on
one core.
"""

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import zlib
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd
import psutil
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from mutations import mutate  # noqa: E402
from readers import READERS  # noqa: E402
from resident import memory_growth  # noqa: E402

from dseg.errors import DsegError  # noqa: E402
from dseg.files import write_text  # noqa: E402

SECONDS, WAITING, BYTES = 2.0, 30.0, 500_000_000
ROOM = 4 * BYTES  # of addresses: more than that is never given
COLUMNS = ["reader", "inputs", "read", "refused", "tracebacks", "hangs", "over_memory"]
Answer = tuple[str, float, int]  # outcome, seconds, bytes


def work(name: str, folder: Path, asked: Connection) -> None:
    """Answer each seed with what came of its input, until there are no more."""
    torch.set_num_threads(1)
    folder.mkdir()
    paths, read = READERS[name](folder)
    wholes = {path: path.read_bytes() for path in paths}
    for path in paths:
        read(path)  # what is loaded once is loaded now
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    limit = psutil.Process().memory_info().vms + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    asked.send("ready")
    while (seed := asked.recv()) is not None:
        path, content = damage(name, wholes, seed)
        path.write_bytes(content)
        begun = time.process_time()
        with memory_growth() as growth:
            outcome = outcome_of(read, path)
        asked.send((outcome, time.process_time() - begun, growth.bytes))
        path.write_bytes(wholes[path])


def damage(name: str, wholes: dict[Path, bytes], seed: int) -> tuple[Path, bytes]:
    """The file that a seed damages, and what is in it then."""
    drawn = random.Random(zlib.crc32(f"{name}:{seed}".encode()))
    path = drawn.choice(sorted(wholes))
    return path, mutate(wholes[path], drawn)


def outcome_of(read, path: Path) -> str:
    """What reading comes to."""
    try:
        read(path)
    except DsegError:
        return "refused"
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "read"


class Worker:
    """A process that reads damaged files; it is begun anew after one that ended or hung it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.count = name, folder, 0
        self.begin()

    def begin(self) -> None:
        """Start the process and wait until its files are made."""
        self.asked, given = multiprocessing.Pipe()
        folder = self.folder / str(self.count)
        self.count += 1
        self.process = multiprocessing.Process(
            target=work, args=(self.name, folder, given), daemon=True
        )
        self.process.start()
        given.close()
        self.asked.recv()

    def ask(self, seed: int) -> Answer:
        """What comes of the input of a seed."""
        begun, used = time.monotonic(), self.computed()
        self.asked.send(seed)
        while not self.asked.poll(0.1):
            if self.computed() - used > SECONDS or time.monotonic() - begun > WAITING:
                self.process.kill()
                self.process.join()
                self.begin()
                return "hang", time.monotonic() - begun, 0
        try:
            return self.asked.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.begin()
            return f"ended with {code}", time.monotonic() - begun, 0

    def computed(self) -> float:
        """Seconds of computing so far; those of a process that has ended are infinite."""
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system

    def end(self) -> None:
        """Let the process end."""
        self.asked.send(None)
        self.process.join()


def count(name: str, inputs: int, keep: Path | None) -> dict[str, object]:
    """A row of the table."""
    found = {column: 0 for column in COLUMNS[2:]}
    slowest, largest = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(name, Path(folder))
        for seed in range(inputs):
            outcome, seconds, size = worker.ask(seed)
            slowest, largest = max(slowest, seconds), max(largest, size)
            kinds = [outcome if outcome in ("read", "refused") else "tracebacks"]
            if outcome == "hang" or seconds > SECONDS:
                kinds = ["hangs"]
            if size > BYTES:
                kinds.append("over_memory")
            for kind in kinds:
                found[kind] += 1
            if kinds[-1] not in ("read", "refused"):
                print(f"{name}, seed {seed}: {outcome}, {seconds:.1f} s, {size / 1e6:.0f} MB")
                if keep is not None:
                    keep_input(name, seed, keep)
        worker.end()
    sizes = {"slowest_s": round(slowest, 2), "largest_mb": round(largest / 1e6)}
    return {"reader": name, "inputs": inputs, **found, **sizes}


def keep_input(name: str, seed: int, folder: Path) -> None:
    """Write the input of a seed to a folder, named for both."""
    with tempfile.TemporaryDirectory() as made:
        paths, _ = READERS[name](Path(made))
        path, content = damage(name, {path: path.read_bytes() for path in paths}, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name.replace(' ', '-')}-{seed}-{path.name}").write_bytes(content)


def main(inputs: int, readers: list[str], out: Path, keep: Path | None) -> None:
    """Try, and write table.csv and table.md."""
    rows = []
    for name in readers:
        rows.append(count(name, inputs, keep))
        print(rows[-1], file=sys.stderr, flush=True)
    frame = pd.DataFrame(rows)
    total = frame[COLUMNS[1:]].sum().to_dict()
    write_text(out / "table.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(out / "table.md", page(frame, total, inputs))


def page(frame: pd.DataFrame, total: dict[str, int], inputs: int) -> str:
    """The table in Markdown, with what it counts."""
    shown = pd.concat([frame, pd.DataFrame([{"reader": "all", **total}])], ignore_index=True)
    shown = shown.astype(object).where(shown.notna(), "")
    return "\n".join(
        [
            "# What comes of damaged files",
            "",
            f"Written by `python benchmarks/mutations.py --inputs {inputs}`, which says what is",
            "counted. Every reader is given small proper files of which one is damaged.",
            "",
            shown.to_markdown(index=False),
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "mutations")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    main(given.inputs, given.readers, given.out, given.keep)
