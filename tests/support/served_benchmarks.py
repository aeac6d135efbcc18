"""Small benchmarks as archives, and the loopback server that has them."""

import dataclasses
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from loopback import Loopback
from PIL import Image

from dseg.datasets.public.catalogue import Benchmark, Source


def build_set(folder: Path, count: int = 3) -> Path:
    """A set of small images and masks in ECSSD's layout."""
    rng = np.random.default_rng(0)
    for name, suffix, shape in (("images", "jpg", (8, 9, 3)), ("ground_truth_mask", "png", (8, 9))):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:04d}.{suffix}")
    return folder


def pack(folder: Path, archive: Path, *, inside: str | None = None) -> Path:
    """Pack a folder as a folder of its own name, or as ``inside``, into a zip or tar file."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    top = folder.name if inside is None else inside
    files = [(path, f"{top}/{path.relative_to(folder)}") for path in sorted(folder.rglob("*.*"))]
    if archive.suffix == ".tar":
        with tarfile.open(archive, "w") as tar:
            for path, name in files:
                tar.add(path, name)
    else:
        with zipfile.ZipFile(archive, "w") as packed:
            for path, name in files:
                packed.write(path, name)
    return archive


def serve_benchmark(
    server: Loopback, benchmark: Benchmark, archives: Mapping[str, Path]
) -> Benchmark:
    """The benchmark with its files served on loopback, without their published sums."""
    sources = []
    for source in benchmark.sources:
        server.files[source.name] = archives[source.name].read_bytes()
        address = server.address(source.name)
        sources.append(Source(source.name, address, parts=source.parts, only=source.only))
    return dataclasses.replace(benchmark, sources=tuple(sources))
