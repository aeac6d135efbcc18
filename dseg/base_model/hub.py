"""Base models on the Hugging Face hub: fetch what is read of one, once, into the hub's cache.

Configurations come first, so that a pipeline of another kind, or one without safetensors, is
refused before gigabytes are fetched. Of the weights only one variant is fetched, and no safety
checker. Where the cache is, which server is asked, the access token and offline mode are the hub
library's own: HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.
"""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dseg.base_model.files import (
    INDEX,
    PARTS,
    check_kind,
    choose_weights,
    wanted_files,
)
from dseg.errors import DsegError

GIB = 2**30
_CONFIGURATIONS = (INDEX, *(f"{part}/*{suffix}" for part in PARTS for suffix in (".json", ".txt")))


def fetch_configuration(name: str, revision: str | None) -> Path:
    """Folder with the configurations and the vocabulary of a model on the hub, of a known kind.

    Args:
        name: Its id, "owner/name".
        revision: Commit, branch or tag; None is the main branch. Of a commit that is in the
            cache, nothing is asked again.

    Raises:
        DsegError: The hub has no such model or revision, does not let us have it or cannot be
            reached; it is not in the cache when offline; or it is of another kind.
    """
    folder = _fetch(name, revision, _CONFIGURATIONS)
    check_kind(folder, name)
    return folder


def fetch_pipeline(name: str, revision: str | None, dtype: str) -> Path:
    """Folder with all that is read of a model on the hub to compute in `dtype`.

    Raises:
        DsegError: As `fetch_configuration`, or it has no safetensors weights.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    folder = fetch_configuration(name, revision)
    commit = folder.name  # a branch may move between two requests, a commit does not
    try:
        sizes = {file.path: file.size for file in get_cached_repo_tree(name, revision=commit)}
    except CachedRepoTreeNotFoundError as error:
        raise DsegError(
            f"model.path: the cache does not say what {name} consists of; load it once with a "
            "connection to the hub"
        ) from error
    files = wanted_files(sizes, choose_weights(sizes, dtype, name))
    missing = [file for file in files if not (folder / file).is_file()]
    if missing and not _offline():
        size = sum(sizes[file] for file in missing) / GIB
        print(
            f"model {name}, commit {commit[:12]}: fetching {len(missing)} files, {size:.2f} GiB",
            file=sys.stderr,
            flush=True,
        )
    return _fetch(name, commit, files) if missing else folder


def _fetch(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Folder of a snapshot with the files that match, from the hub or its cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # What the HTTP client raises where the library does not translate it: a cut connection.
    client_error = HfHubHTTPError.__bases__[0]
    at = f"{name} at revision {revision}" if revision else name
    try:
        with _bars_only_in_a_terminal():
            folder = snapshot_download(name, revision=revision, allow_patterns=list(patterns))
    except HFValidationError as error:
        raise DsegError(
            f"model.path: {name} is neither a folder nor a hub id such as owner/name"
        ) from error
    except GatedRepoError as error:
        raise DsegError(
            f"model.path: {name}: its owner asks for consent first; give it on the model's page, "
            "then log in with `hf auth login` or set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise DsegError(
            f"model.revision: {name} has no revision {revision}; expected a commit, branch or tag"
        ) from error
    except RepositoryNotFoundError as error:
        raise DsegError(
            f"model.path: {name} is neither a folder nor on the hub; correct the id or, if it is "
            "private, log in with `hf auth login` or set HF_TOKEN"
        ) from error
    except LocalEntryNotFoundError as error:
        if _offline():
            raise DsegError(
                f"model.path: {at} is not, or not whole, in the hub's cache, and HF_HUB_OFFLINE "
                "forbids to fetch it; load it once without that, or name a folder"
            ) from error
        raise DsegError(_unreachable(at, error)) from error
    # The last two are the HTTP client's words for a proxy that it cannot use, such as SOCKS.
    except (OSError, client_error, ImportError, ValueError) as error:
        raise DsegError(_unreachable(at, error)) from error
    return Path(folder)


def _unreachable(at: str, error: BaseException) -> str:
    cause = error.__cause__ or error
    reason = textwrap.shorten(str(cause) or type(cause).__name__, 160, placeholder=" ...")
    return (
        f"model.path: {at} cannot be fetched from the hub ({reason}); what has come is kept: try "
        "again, or name a folder"
    )


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


@contextmanager
def _bars_only_in_a_terminal() -> Iterator[None]:
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    shown = not are_progress_bars_disabled()
    if shown and not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()
