"""Processes that start at once take different GPUs, and free them by ending."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dseg.base_model.device import choose_device, claim
from dseg.errors import DsegError

HOLD = """
import sys
from pathlib import Path
from dseg.base_model.device import claim
print(claim(["a", "b"], Path(sys.argv[1]), wait=sys.argv[2] == "wait"), flush=True)
sys.stdin.readline()
"""


def start(folder: Path, root: Path, wait: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), wait],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
    )


def test_each_process_holds_one_until_it_ends(tmp_path: Path, root: Path) -> None:
    first, second = start(tmp_path, root), start(tmp_path, root)
    waiting = None
    try:
        taken = {process.stdout.readline().strip() for process in (first, second)}
        assert taken == {"0", "1"}
        assert claim(["a", "b"], tmp_path, wait=False) is None
        waiting = start(tmp_path, root, "wait")
        second.kill()  # as a batch system would
        second.wait()
        assert waiting.stdout.readline().strip() in taken
    finally:
        for process in (first, second, waiting):
            if process is not None:
                process.kill()
                process.communicate()


def test_a_name_of_torch_is_taken_as_it_is() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(DsegError, match="model.device: 'nonsense' is not usable here"):
        choose_device("nonsense")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error() -> None:
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(DsegError, match="model.device: 'cuda' is not usable here"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_cuda_is_a_gpu_of_our_own() -> None:
    device = choose_device("cuda")
    assert device.type == "cuda" and choose_device("cuda") == device
