"""Profiles, the named runs: where their settings and their page of claims lie."""

from pathlib import Path

from dseg.errors import DsegError
from dseg.settings.document import read_document

PARAMS = "params.yaml"
PROFILES = Path("workflow/profiles")
DEFAULT_PROFILE = "embedded"
STUDY_PROFILE = "study"
PHOTOS_PROFILE = "photos"
CLAIMS_PAGE = "docs/claims.md"


def profile_params(profile: str) -> list[Path]:
    """The files of settings of a profile, the base first.

    Raises:
        DsegError: There is no such profile.
    """
    override = PROFILES / profile / PARAMS
    if override.is_file():
        return [Path(PARAMS), override]
    if profile == DEFAULT_PROFILE:
        return [Path(PARAMS)]
    known = sorted(path.parent.name for path in PROFILES.glob(f"*/{PARAMS}"))
    raise DsegError(f"no profile {profile!r}: expected {', '.join([DEFAULT_PROFILE, *known])}")


def check_names() -> None:
    """Look whether every folder of a profile is of the profile that Snakemake would run by it.

    A folder that was copied says the other's name in its config.yaml until somebody changes it, and
    `snakemake --profile` with it would run the other one without a word.

    Raises:
        DsegError: One says another name than its own.
    """
    for file in sorted(PROFILES.glob("*/config.yaml")):
        try:
            entries = read_document(file).get("config")
        except DsegError:
            continue  # Snakemake says what is wrong with it, when it is asked to read it
        for entry in entries if isinstance(entries, list) else [entries]:
            key, _, name = str(entry).partition("=")
            if key == "profile" and name != file.parent.name:
                raise DsegError(
                    f"{file}: config: expected profile={file.parent.name}, as the folder is named, "
                    f"got {entry}; a copy still has the name of what it was copied from"
                )


def claims_page(profile: str) -> str:
    """The page of claims of a profile: the study's is a document, others lie by the results."""
    return CLAIMS_PAGE if profile == STUDY_PROFILE else f"results/{profile}/claims.md"
