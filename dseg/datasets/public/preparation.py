"""From a benchmark's files to a folder that opens: unpack, check counts, look at every image."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dseg.datasets.annotation import read_list
from dseg.datasets.masks import Remarks, read_mask
from dseg.datasets.opening import Samples
from dseg.datasets.public.catalogue import Source
from dseg.datasets.public.hashes import read_hashes, write_hashes
from dseg.datasets.public.store import (
    Store,
    check_file,
    find_lack,
    find_state,
    list_images_of,
    open_store,
)
from dseg.datasets.public.unpack import unpack
from dseg.datasets.sample import list_images
from dseg.errors import DsegError
from dseg.files import file_hash
from dseg.progress import track

_SHOWN = 5  # defects that an error names


def prepare(store: Store) -> int | None:
    """Unpack what is not unpacked, check the benchmark, and record its files.

    Every image and mask is read once, so that a broken one is named now and not after hours of a
    run. A benchmark that is prepared is left as it is: `find_defects` checks it.

    Returns:
        The number of empty masks; None if the benchmark has no masks or was prepared before.

    Raises:
        DsegError: A file is missing or broken; another number of images; as `unpack`.
    """
    list_images_of(store)
    if find_state(store) == "prepared":
        return None
    if not store.unpacked and find_lack(store) is not None:
        for source in store.sources:
            if not store.has(source):
                _unpack_source(store, source)
        if store.benchmark.graded and not (store.folder / "masks").exists():
            binarise(store.folder / "graded", store.folder / "masks")
        list_images_of(store)
    samples = open_store(store)
    remarks = Remarks(store.folder)
    empty = _look(samples, store.benchmark.name, remarks)
    remarks.say("set `evaluation.truth: half` to cut them at one half in every protocol")
    _record(store, samples)
    return empty


def binarise(graded: Path, masks: Path) -> None:
    """Write masks, 0 and 255, of graded ones: foreground is what is above one half.

    The protocols of maxF differ in what they call foreground of a graded mask (any value, one
    half, the full value); benchmarks of graded masks are scored on these instead.

    Args:
        graded: A folder of images of grades, uint8 from 0 to 255.
        masks: The folder to make, of PNG files with the same names; whole or not at all.

    Raises:
        DsegError: A file is not an image.
    """
    temporary = masks.with_name(f".{masks.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        for id, path in track(list_images(graded).items(), f"masks of {graded.parent.name}"):
            grades = read_mask(path).values
            mask = (grades > 127).astype(np.uint8) * np.uint8(255)
            Image.fromarray(mask).save(temporary / f"{id}.png")
        temporary.rename(masks)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack_source(store: Store, source: Source) -> None:
    path = store.file(source)
    if not path.is_file():
        lack = find_lack(store) if any(entry.is_dir() for entry in _entries(store)) else None
        raise DsegError(
            f"{path}: no such file; `dseg data download {store.benchmark.name}` fetches it, or "
            "takes it over if you put it there"
            + (f"; what is there is not whole without: {lack}" if lack else "")
        )
    check_file(store, source, path)
    if source.parts:
        only = None
        if source.only is not None:
            only = frozenset(read_list(store.folder / source.only).split())
        unpack(path, store.folder, source.parts, only=only)


def _entries(store: Store) -> list[Path]:
    return list(store.folder.iterdir()) if store.folder.is_dir() else []


def _look(samples: Samples, name: str, remarks: Remarks) -> int | None:
    """Read all of it once; the number of empty masks.

    Raises:
        DsegError: Naming what cannot be read.
    """
    defects, empty, masks = [], 0, 0
    for id in track(samples.ids, f"reading {name}"):
        try:
            sample = samples.make(id)
            sample.image()
            mask = sample.read_mask()
        except DsegError as error:
            defects.append(str(error))
            continue
        if mask is not None:
            remarks.add(mask)
            masks += 1
            empty += not (mask.values > 127).any()
    if defects:
        more = f" ... and {len(defects) - _SHOWN} more" if len(defects) > _SHOWN else ""
        raise DsegError("; ".join(defects[:_SHOWN]) + more)
    return empty if masks else None


def _record(store: Store, samples: Samples) -> None:
    """Record the hashes of the files in use, or hold them against an earlier record."""
    found = {
        path.relative_to(store.folder).as_posix(): file_hash(path)
        for path in track(list(_files(store, samples)), f"hashing {store.benchmark.name}")
    }
    for name, known in store.benchmark.sums.items():
        if found[name] != known:
            raise DsegError(
                f"{store.folder / name}: its SHA-256 is {found[name]}, the published file's "
                f"{known}; restore it, or download {store.benchmark.name} into an empty folder"
            )
    hashes = read_hashes(store.record)
    changed = [
        name for name, recorded in hashes.contents.items() if found.get(name, recorded) != recorded
    ]
    if changed:
        raise DsegError(
            f"{store.folder / changed[0]}: differs from what {store.record} has of it, as do "
            f"{len(changed) - 1} others; restore them, or remove the record to take them as they "
            "are"
        )
    hashes.contents = found
    write_hashes(store.record, hashes)


def _files(store: Store, samples: Samples) -> Iterator[Path]:
    """The files that are read when the benchmark is used."""
    folder = store.folder
    for sample in samples:
        yield sample.path
        if sample.mask_path is not None:
            yield sample.mask_path
        if store.benchmark.layout == "voc":
            yield folder / "Annotations" / f"{sample.id}.xml"
    for name in store.benchmark.lists:
        yield folder / name
