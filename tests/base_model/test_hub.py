"""Fetching models by id from a server on loopback that speaks the hub's language."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, serve
from huggingface_hub import constants

from dseg.base_model.hub import fetch_configuration, fetch_pipeline
from dseg.base_model.pipeline import load_pipeline, load_tokenizer, model_identity
from dseg.errors import DsegError

pytest_plugins = ("tiny_pipeline",)
HEAVY = (".safetensors", ".bin")
LOAD = """
import sys
from dseg.base_model.pipeline import load_pipeline, model_identity
name, revision = sys.argv[1:]
pipe = load_pipeline(name, revision=revision)
print(pipe.scheduler.config.prediction_type, model_identity(name, revision=revision))
"""


@pytest.fixture(scope="module")
def repository(tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository like that of Stable Diffusion: each part's weights in three forms, and more."""
    folder = tmp_path_factory.mktemp("repository") / "tiny"
    shutil.copytree(tiny_pipeline, folder)
    for file in list(folder.glob("*/*.safetensors")):
        shutil.copy(file, file.with_suffix(".fp16.safetensors"))
        shutil.copy(file, file.with_suffix(".bin"))
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "model.safetensors").write_text("unwanted")
    (folder / "tiny-pruned.safetensors").write_text("unwanted")
    (folder / "README.md").write_text("a card")
    return folder


@pytest.fixture
def hub(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server, this process's hub library pointed at it, and an empty cache."""
    with serve() as hub:
        hub.repositories["owner/tiny"] = repository
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        yield hub


def heavy(hub: Hub) -> list[str]:
    return sorted(name for name in hub.fetched if name.endswith(HEAVY))


@pytest.mark.parametrize(("dtype", "variant"), [("float32", ""), ("float16", ".fp16")])
def test_only_what_is_read_is_fetched(hub: Hub, dtype: str, variant: str, capsys) -> None:
    folder = fetch_pipeline("owner/tiny", "v1", dtype)
    assert folder.name == "d" * 40
    assert heavy(hub) == [
        f"owner/tiny/text_encoder/model{variant}.safetensors",
        f"owner/tiny/unet/diffusion_pytorch_model{variant}.safetensors",
        f"owner/tiny/vae/diffusion_pytorch_model{variant}.safetensors",
    ]
    assert not [name for name in hub.fetched if "safety" in name or "README" in name]
    said = "model owner/tiny, commit dddddddddddd: fetching 3 files, 0.00 GiB\n"
    assert capsys.readouterr().err == said


def test_a_fetched_commit_is_not_asked_for_again(hub: Hub, capsys) -> None:
    fetch_pipeline("owner/tiny", "v1", "float32")
    hub.asked.clear()
    capsys.readouterr()
    assert fetch_pipeline("owner/tiny", "d" * 40, "float32").is_dir()
    assert hub.asked == [] and capsys.readouterr().err == ""


def test_the_tokenizer_needs_no_weights(hub: Hub) -> None:
    tokenizer = load_tokenizer("owner/tiny", revision="main")
    assert tokenizer("moon").input_ids[1:-1] and tokenizer.model_max_length == 16
    assert heavy(hub) == []


def test_a_snapshot_is_the_same_model_as_the_folder(hub: Hub, repository: Path) -> None:
    snapshot = fetch_pipeline("owner/tiny", None, "float32")
    assert (snapshot / "unet" / "config.json").is_symlink()
    expected = model_identity(repository)
    assert model_identity(snapshot) == model_identity("owner/tiny") == expected
    pipe = load_pipeline("owner/tiny", revision="c" * 40)
    assert pipe.unet.config.sample_size == 8


def test_an_unfinished_download_is_one_line_and_goes_on(hub: Hub, monkeypatch) -> None:
    hub.withheld.add("diffusion_pytorch_model.safetensors")
    with pytest.raises(
        DsegError, match=r"owner/tiny at revision c+ cannot be fetched .* try again"
    ):
        fetch_pipeline("owner/tiny", "main", "float32")
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(DsegError, match="is not, or not whole, in the hub's cache"):
            fetch_pipeline("owner/tiny", "main", "float32")
    hub.withheld.clear()
    fetch_pipeline("owner/tiny", "main", "float32")
    assert len(heavy(hub)) == len(set(heavy(hub))) == 3


def test_without_safetensors_no_weights_are_fetched(hub: Hub, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hub.repositories["owner/tiny"], tmp_path / "old"))
    for file in folder.glob("vae/*.safetensors"):
        file.unlink()
    hub.repositories["owner/old"] = folder
    with pytest.raises(DsegError, match="owner/old/vae: no safetensors weights, only diffusion_py"):
        fetch_pipeline("owner/old", None, "float32")
    assert heavy(hub) == []


def test_another_kind_is_refused_before_its_weights_are_fetched(hub: Hub, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hub.repositories["owner/tiny"], tmp_path / "inpainting"))
    config = folder / "unet" / "config.json"
    config.write_text(config.read_text().replace('"in_channels": 4', '"in_channels": 9'))
    hub.repositories["owner/inpainting"] = folder
    with pytest.raises(DsegError, match="^owner/inpainting: wrong kind of pipeline: .* 9 channels"):
        fetch_pipeline("owner/inpainting", None, "float32")
    assert heavy(hub) == []


def test_what_the_hub_refuses_is_one_line(hub: Hub) -> None:
    hub.repositories["owner/gated"] = hub.repositories["owner/tiny"]
    hub.gated.add("owner/gated")
    for name, revision, message in (
        ("owner/nothing", None, "model.path: owner/nothing is neither a folder nor on the hub"),
        ("owner/tiny", "v9", "model.revision: owner/tiny has no revision v9"),
        ("owner/gated", None, "model.path: owner/gated: its owner asks for consent first"),
        ("owner/a..b", None, "model.path: owner/a..b is neither a folder nor a hub id"),
    ):
        with pytest.raises(DsegError) as said:
            fetch_configuration(name, revision)
        assert str(said.value).startswith(message) and "\n" not in str(said.value)


def test_a_silent_hub_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DsegError, match="owner/tiny cannot be fetched from the hub .*refused"):
        fetch_configuration("owner/tiny", None)


def test_offline_by_the_environment(hub: Hub, repository: Path, tmp_path: Path) -> None:
    """As a user does it: variables of the environment, a process each."""

    def load(**variables: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        environment.pop("HF_HUB_CACHE", None)
        return subprocess.run(
            [sys.executable, "-c", LOAD, "owner/tiny", "v1"],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    first = load()
    assert first.stdout.split() == ["v_prediction", model_identity(repository)], first.stderr
    asked = len(hub.asked)
    again = load(HF_HUB_OFFLINE="1")
    assert again.stdout == first.stdout, again.stderr
    assert len(hub.asked) == asked


def test_offline_without_a_cache_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision in ("main", "d" * 40):
        message = f"owner/tiny at revision {revision} is not, or not whole, in the hub's cache"
        with pytest.raises(DsegError, match=message):
            fetch_pipeline("owner/tiny", revision, "float32")
    assert hub.asked == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_one_line(hub: Hub, tmp_path: Path, proxy: str) -> None:
    environment = {
        **{key: value for key, value in os.environ.items() if key.lower() != "no_proxy"},
        **{"HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "c"), "ALL_PROXY": proxy},
    }
    done = subprocess.run(
        [sys.executable, "-m", "dseg", "model", "owner/tiny"],
        env=environment,
        capture_output=True,
        text=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 2
    assert "error: model.path: owner/tiny cannot be fetched from the hub (" in line
