"""Which device a process computes on; with several GPUs, one that no other process has taken.

A process that takes a GPU holds a lock on a file named for it until it ends, however it ends. So
jobs that start at once spread over the GPUs, whoever starts them. Within a batch system, which
shows each job its own GPUs, the names tell apart what the numbers (always from 0) do not.
"""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO

import torch

from dseg.errors import DsegError

POLL_S = 2.0
_held: list[IO[str]] = []  # open as long as the process lives


@cache
def choose_device(name: str) -> torch.device:
    """The device of the setting `model.device`; one process gets the same answer every time.

    Args:
        name: "auto": a GPU that is free, else one that is shared, else the CPU. "cuda": a GPU of
            our own, waited for. Otherwise a device of torch, such as "cpu" or "cuda:1".

    Raises:
        DsegError: There is no such device here.
    """
    if name == "auto" and not torch.cuda.is_available():
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        return _usable(name)
    _usable("cuda")
    names = [
        str(torch.cuda.get_device_properties(index).uuid)
        for index in range(torch.cuda.device_count())
    ]
    index = claim(names, default_folder(), wait=name == "cuda")
    if index is None:
        index = os.getpid() % len(names)
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


def claim(names: Sequence[str], folder: Path, *, wait: bool) -> int | None:
    """Take the first of these that nobody holds, until this process ends.

    Args:
        names: Of the GPUs.
        folder: Where the locks of all processes lie.
        wait: Whether to wait where all are held.

    Returns:
        Its index; None where all are held.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = False
    while True:
        for index, name in enumerate(names):
            file = (folder / f"{name}.lock").open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            _held.append(file)
            return index
        if not wait:
            return None
        if not said:
            print(f"waiting for one of {len(names)} GPUs", file=sys.stderr, flush=True)
            said = True
        time.sleep(POLL_S)


def default_folder() -> Path:
    """Where the locks of this user's processes lie on this machine."""
    return Path(tempfile.gettempdir()) / f"dseg-gpus-{os.getuid()}"


def _usable(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DsegError(
            f'model.device: {name!r} is not usable here; expected "auto", "cpu" or "cuda"'
        ) from error
    return device
