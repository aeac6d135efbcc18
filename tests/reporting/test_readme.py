"""README shows what the results are, and names nothing that is not there."""

import re
import subprocess

import pytest
import yaml

from dseg.errors import DsegError
from dseg.reporting import readme
from dseg.reporting.readme import (
    BEGIN,
    END,
    PHOTOS_BEGIN,
    PHOTOS_END,
    STUDY_BEGIN,
    STUDY_END,
    replace_block,
)
from dseg.settings.reading import load_settings
from dseg.settings.sections import sections

TABLE = "**Saliency**\n\n| method | IoU |\n| --- | --: |\n| head | 80.1 |\n"


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results" / "embedded"
    for name, text in ((readme.TABLE, TABLE), (readme.GALLERY, "a picture")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe rest.\n")
    return path


def test_table_and_gallery_are_put_between_the_markers(results, page):
    readme.run(results, page)
    text = page.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n\n**Saliency**") and text.endswith("The rest.\n")
    assert "| head | 80.1 |" in text and "old" not in text
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", text)
    assert (page.parent / picture).read_text() == "a picture"


def test_a_second_time_changes_nothing(results, page):
    readme.run(results, page)
    before = (page.read_text(), page.stat().st_mtime_ns)
    readme.run(results, page)
    assert (page.read_text(), page.stat().st_mtime_ns) == before


def test_missing_results_leave_the_page_alone(results, page):
    (results / readme.GALLERY).unlink()
    before = page.read_text()
    with pytest.raises(DsegError, match=r"gallery-test\.png: no such file"):
        readme.run(results, page)
    assert page.read_text() == before


@pytest.mark.parametrize("text", ["no markers", BEGIN, f"{BEGIN}{BEGIN}{END}", f"{END} {BEGIN}"])
def test_markers_must_be_there_once_and_in_order(text):
    with pytest.raises(DsegError, match=r"README\.md"):
        replace_block(text, "new")


CLAIMS = (
    "# Claims\n\nText.\n\n| claim | verdict |\n| --- | --- |\n| [A.](#a) | undecided |\n\n## A\n"
)


def test_the_studys_verdicts_are_put_between_their_markers(tmp_path):
    results, claims = tmp_path / "results" / "study", tmp_path / "docs" / "claims.md"
    for folder in (results, claims.parent):
        folder.mkdir(parents=True)
    claims.write_text(CLAIMS)
    (results / "run.json").write_text('{"seconds": 4000, "runs": 2, "cores": 2, "machine": "m"}')
    page = tmp_path / "README.md"
    page.write_text(f"# Title\n\n{STUDY_BEGIN}\nold\n{STUDY_END}\n\nThe rest.\n")
    readme.write_study(results, claims, page)
    text = page.read_text()
    assert "| [A.](docs/claims.md#a) | undecided |" in text and "old" not in text
    assert "1 h 6 min on 2 CPU cores (m), in 2 parts" in text and text.endswith("The rest.\n")
    claims.write_text("# Claims\n")
    with pytest.raises(DsegError, match=r"docs/claims\.md: no table of verdicts"):
        readme.write_study(results, claims, page)
    assert page.read_text() == text


def test_of_photographs_the_table_and_synthetic_ones_are_shown(tmp_path):
    results, page = tmp_path / "results" / "photos", tmp_path / "README.md"
    page.write_text(f"# Title\n\n{PHOTOS_BEGIN}\nold\n{PHOTOS_END}\n\n{BEGIN}\nworld\n{END}\n")
    before = page.read_text()
    with pytest.raises(DsegError, match=r"saliency\.md: no such file"):
        readme.write_photos(results, page)
    assert page.read_text() == before
    for name, text in ((readme.TABLE, TABLE), (readme.SYNTHETIC, "a picture")):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text(text)
    readme.write_photos(results, page)
    text = page.read_text()
    assert "| head | 80.1 |" in text and "old" not in text and f"{BEGIN}\nworld\n{END}" in text
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", text)
    assert picture == "results/photos/figures/masks.png"  # no photograph of a person


@pytest.mark.parametrize(
    ("profile", "begin", "end"), [("embedded", BEGIN, END), ("photos", PHOTOS_BEGIN, PHOTOS_END)]
)
def test_the_page_of_this_repository_shows_its_results(root, profile, begin, end):
    folder = root / "results" / profile
    page = root / "README.md"
    assert page.read_text().count(begin) == page.read_text().count(end) == 1
    if not (folder / readme.TABLE).is_file():
        pytest.skip(f"results/{profile} is not there: nothing has been reproduced")
    table = (folder / readme.TABLE).read_text().strip()
    assert table in page.read_text(), f"run make reproduce PROFILE={profile}"


@pytest.mark.parametrize("name", ["README.md", "docs/method.md"])
def test_links_lead_somewhere(root, name):
    page = root / name
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False
    ).stdout.split()
    assert links
    for link in links:
        if link.startswith("https://"):
            continue
        target = (page.parent / link).resolve()
        # Results come with the first run.
        made = target.relative_to(root).parts[0] == "results" and "results" not in str(tracked)
        assert target.exists() or made, link


def test_make_targets_and_settings_that_are_named_exist(root):
    text = (root / "README.md").read_text() + (root / "docs" / "method.md").read_text()
    targets = set(re.findall(r"^ {4}make ([a-z]+)", text, flags=re.MULTILINE))
    makefile = (root / "Makefile").read_text()
    assert targets >= {"reproduce", "test", "ui"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)

    settings = load_settings(root / "params.yaml")
    known = set(type(settings).model_fields)
    named = re.findall(r"`([a-z]+)\.([a-z_]+)`", text)
    named += re.findall(r"-S ([a-z]+)\.([a-z_]+)=", text)
    found = [f"{section}.{key}" for section, key in named if section in known]
    assert len(found) > 15
    sections(settings, *found)  # raises for one that does not exist


def test_report_captions_are_plain(root):
    for path in (root / "workflow" / "report").glob("*.rst"):
        text = path.read_text()
        assert "{{" not in text and len(text) > 200, path.name


def test_profiles_named_in_the_page_exist(root):
    for profile in re.findall(r"PROFILE=([a-z0-9]+)", (root / "README.md").read_text()):
        path = root / "workflow" / "profiles" / profile / "params.yaml"
        assert yaml.safe_load(path.read_text())["profile"] == profile
