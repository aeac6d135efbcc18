"""The smoke profile run from nothing, once for all files and workers, and copies to change."""

import pytest
from clones import at_once, killed_and_called_again, made_once, undisturbed_by_dvc


@pytest.fixture(scope="session")
def once(root, tmp_path_factory, worker_id):
    """Makes a first run, or waits for the worker that makes it."""
    own = tmp_path_factory.getbasetemp()
    of_all_workers = own if worker_id == "master" else own.parent

    def made(make):
        return made_once(of_all_workers / make.__name__, lambda folder: make(root, folder))

    return made


@pytest.fixture(scope="session")
def first_run(once):
    """`make reproduce`, killed and called again: Snakemake computes, DVC is told."""
    return once(killed_and_called_again)


@pytest.fixture(scope="session")
def first_runs(once):
    """That one and a run by DVC, undisturbed, both made at the same time."""
    return at_once(lambda: once(killed_and_called_again), lambda: once(undisturbed_by_dvc))


@pytest.fixture(scope="module")
def finished(first_runs, tmp_path_factory):
    """A file's own copy of the first. Tests change it one after the other.

    Each leaves both engines in agreement.
    """
    return first_runs[0].copy(tmp_path_factory.mktemp("finished") / "dseg")


@pytest.fixture(scope="module")
def by_dvc(first_runs, tmp_path_factory):
    """The same of the other."""
    return first_runs[1].copy(tmp_path_factory.mktemp("by-dvc") / "dseg")


@pytest.fixture
def broken(first_run, tmp_path):
    """A copy to break something in."""
    return first_run.copy(tmp_path / "dseg")
