"""Profiles, the named runs: where their settings and their page of claims lie."""

from pathlib import Path

from dseg.errors import DsegError

PARAMS = "params.yaml"
PROFILES = Path("workflow/profiles")
DEFAULT_PROFILE = "embedded"
STUDY_PROFILE = "study"
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


def claims_page(profile: str) -> str:
    """The page of claims of a profile: the study's is a document, others lie by the results."""
    return CLAIMS_PAGE if profile == STUDY_PROFILE else f"results/{profile}/claims.md"
