"""Fixtures shared by all tests."""

import os
import signal
from pathlib import Path

import pytest

# Files of whole runs. The first makes the clones that those after the next two start from, which
# make their own; a worker that has no more than two tests left takes one more file.
LONGEST = (
    "test_two_engines.py",
    "test_fresh_profile.py",
    "test_full_size.py",
    "test_changed_settings.py",
    "test_kept_by_dvc.py",
    "test_bad_inputs.py",
    "test_interruptions.py",
    "test_embedded_profiles.py",
)


def pytest_configure() -> None:
    """Listen to Ctrl-C, which tests send, also where a shell has begun them in the background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole runs of the workflow, the longest first: others would wait for them."""
    items.sort(key=lambda item: (item.path.parent.name != "workflow", _place(item.path.name)))


def _place(name: str) -> int:
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of public sample data, named by DSEG_SHARED; the test is skipped without it."""
    value = os.environ.get("DSEG_SHARED")
    if not value:
        pytest.skip("DSEG_SHARED is not set: it names the folder of sample data")
    folder = Path(value).resolve()
    if not folder.is_dir():
        pytest.skip(f"DSEG_SHARED={value}: no such folder")
    return folder
