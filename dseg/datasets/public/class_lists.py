"""Published lists of class names: where each is and its hash.

A list of a thousand names is not a setting to be typed, and is the work of others: the repository
does not hold it, and a command fetches it to a file.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from dseg import __version__
from dseg.datasets.class_names import MOST_BYTES, parse_json, read_class_names
from dseg.datasets.public.download import check_proxy
from dseg.errors import DsegError
from dseg.files import write_text

FOLDER = Path("data/classes")


@dataclass(frozen=True)
class PublicList:
    """A published list of class names.

    Attributes:
        address: Where it is, as JSON; of a commit, so that it cannot change.
        names: How many there are.
        sha256: Of the names, one a line.
        terms: Under which terms its authors publish it.
    """

    address: str
    names: int
    sha256: str
    terms: str


LISTS = {
    # Short names in the singular, chosen to be understood; no two alike, as here every class
    # needs a name of its own.
    "imagenet": PublicList(
        "https://raw.githubusercontent.com/anishathalye/imagenet-simple-labels/"
        "0f6e9efda54a9d35ab6de6b6dda1581aad18b3d6/imagenet-simple-labels.json",
        1000,
        "c822c670bd3d9d02baf355e43d8cee21afc5605a1e72d674e9c0494eee2f6ea3",
        "public domain",
    ),
}


def fetch(name: str = "imagenet", /, out: Path | None = None, timeout: float = 60.0) -> None:
    """Write a public list of class names to a file, one a line.

    A file that is there is checked and left as it is.

    Args:
        name: The list: imagenet, the 1000 classes of ImageNet.
        out: The file; data/classes/<name>.txt if left out.
        timeout: Seconds without an answer after which to give up.

    Raises:
        DsegError: There is no such list, it cannot be fetched, or it is not the one recorded.
    """
    if name not in LISTS:
        raise DsegError(f"no list of classes {name!r}: expected one of {', '.join(LISTS)}")
    chosen, path = LISTS[name], out or FOLDER / f"{name}.txt"
    if path.exists():
        if _hash(read_class_names(path)) != chosen.sha256:
            raise DsegError(f"{path}: holds other names than {name}; choose another --out")
        print(f"{path}: {chosen.names} names, as recorded")
        return
    names = parse_json(_get(chosen.address, timeout), chosen.address)
    if _hash(names) != chosen.sha256:
        raise DsegError(
            f"{chosen.address}: not the {chosen.names} names that were recorded; write {path} by "
            "hand, one name a line"
        )
    text = _lines(names)
    write_text(path, text)
    print(f"{path}: {chosen.names} names ({chosen.terms}), from {chosen.address}")


def _get(address: str, timeout: float) -> str:
    check_proxy(address)
    try:
        request = Request(address, headers={"User-Agent": f"dseg/{__version__}"})
        with urlopen(request, timeout=timeout) as response:
            return response.read(MOST_BYTES).decode("utf-8")
    except (OSError, HTTPException, UnicodeDecodeError) as error:
        raise DsegError(
            f"{address}: cannot be fetched ({error}); try again, or write the file by hand, one "
            "name a line"
        ) from error


def _hash(names: Sequence[str]) -> str:
    return hashlib.sha256(_lines(names).encode()).hexdigest()


def _lines(names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in names)
