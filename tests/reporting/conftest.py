"""Scores of no run, and the summary of them, made once for all pages and tables."""

import pytest
from finished_run import settings_of
from made_up_scores import made_up_scores

from dseg.reporting.estimates import summarise

IMAGES = {"multi": 12, "shift": 20, "test": 20, "val": 16}


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    return settings_of(tmp_path_factory.mktemp("settings"), IMAGES, 60)


@pytest.fixture(scope="session")
def scores(settings):
    return made_up_scores(settings)


@pytest.fixture(scope="session")
def summary(settings, scores):
    return summarise(settings, scores)
