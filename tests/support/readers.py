"""All readers of files that come from elsewhere or may be damaged, each with small proper files.

A reader is made in an empty folder: it writes files that are right and says which of them may be
damaged. Whatever is in one of them then, reading gives a value or raises one DsegError.
"""

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from made_clothing import write_clothing
from PIL import Image
from tiny_pipeline import build_tiny_pipeline

from dseg.artifacts.heads import Said, read_heads, write_head
from dseg.artifacts.prompts import read_nouns, read_prompts
from dseg.artifacts.rows import FieldRows
from dseg.artifacts.shards import read_shard, write_shard
from dseg.base_model.files import check_kind, choose_weights, files_of
from dseg.base_model.memory import weight_bytes
from dseg.base_model.pipeline import load_pipeline
from dseg.commands import score
from dseg.commands.plan import read_calibration
from dseg.datasets.class_names import read_class_names
from dseg.datasets.clothing.outlines import Drawn, Outline, read_drawn, read_outline, write_drawn
from dseg.datasets.clothing.photographs import read_photographs
from dseg.datasets.masks import read_mask
from dseg.datasets.opening import open_benchmark
from dseg.datasets.public.download import read_note
from dseg.datasets.public.hashes import read_hashes
from dseg.datasets.public.unpack import unpack
from dseg.datasets.sample import Sample
from dseg.embedded.training import Denoiser, load_checkpoint, save_checkpoint, start
from dseg.files import file_hash
from dseg.method.networks import Architecture, build
from dseg.orchestration.duration import read_spent
from dseg.orchestration.provenance import sources, write_stamp
from dseg.orchestration.records import locked_outputs, read_end, read_listed
from dseg.photos.exported import HeadConfig, describe_base, write_config
from dseg.photos.folder import PhotoFile, read_photo
from dseg.photos.methods import load_head
from dseg.photos.results import read_results
from dseg.reporting.scores import read_quality
from dseg.reporting.summary import Estimate, Kind, Summary
from dseg.settings.reading import load_sections, load_settings
from dseg.settings.sections import sections

ROOT = Path(__file__).resolve().parents[2]
Made = tuple[Sequence[Path], Callable[[Path], object]]
"""The files of which one may be damaged, and how that one is read, with the others beside it."""


def settings(folder: Path) -> Made:
    path = Path(shutil.copy(ROOT / "params.yaml", folder))
    return [path], load_settings


def stage_settings(folder: Path) -> Made:
    path = folder / "stage.json"
    whole = load_settings(ROOT / "params.yaml")
    path.write_text(json.dumps(sections(whole, "seed", "synthesis", "head", "attentioncut")))
    return [path], load_sections


def shard(folder: Path) -> Made:
    path = folder / "00000-of-00001.safetensors"
    soft = np.arange(128, dtype=np.uint8).reshape(2, 8, 8)
    said = {"ids": ["a", "b"], "kind": "masks", "stage": "prediction", "settings_hash": "x"}
    write_shard(path, {"soft": soft, "area": np.ones(2, np.float32)}, **said)

    def read(path: Path) -> object:
        return read_shard(path), FieldRows([path], "soft")[:]

    return [path], read


def head(folder: Path) -> Made:
    path = folder / "head.safetensors"
    _write_head(path)
    return [path], read_heads


def checkpoint(folder: Path) -> Made:
    def begin():
        return start(Denoiser(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)), 1e-3)

    run, path = begin(), folder / "checkpoint.safetensors"
    run.model.unet(run.model.text_encoder(torch.ones(1, 3))).sum().backward()
    run.optimizer.step()
    save_checkpoint(path, run)
    return [path], lambda path: load_checkpoint(path, begin())


def model_files(folder: Path) -> Made:
    """Of a base model what is read before anything is loaded."""
    build_tiny_pipeline(folder)

    def read(_: Path) -> object:
        check_kind(folder, "model")
        chosen = choose_weights(files_of(folder), "float32", "model")
        return weight_bytes((folder / name for name in chosen.files), "float32")

    return [path for path in _files(folder) if path.suffix in (".json", ".safetensors")], read


def model(folder: Path) -> Made:
    build_tiny_pipeline(folder)
    return _files(folder), lambda _: load_pipeline(folder, device="cpu")


def exported_head(folder: Path) -> Made:
    path = folder / "head.safetensors"
    _write_head(path)
    whole, described = (
        load_settings(ROOT / "params.yaml"),
        describe_base("x/y", None, "float32", "z"),
    )
    config = {
        **{"format": 1, "dseg": "0.1.0", "head": file_hash(path), "size": (8, 8)},
        **{"threshold": 0.5, "seed": 0, "base_model": described.model_dump()},
        "training": {
            **{"profile": "p", "variant": "v", "settings_hash": "h", "classes": ("moon",)},
            **{"pairs": 2, "parameters": 3, "embedded": True, "protocol": "tokencut"},
            "scores": {"val": {"iou": 50.0}},
        },
        **{"inversion": whole.inversion, "features": whole.features, "attention": whole.attention},
        **{"recording": whole.recording, "attentioncut": whole.attentioncut},
    }
    write_config(folder, HeadConfig.model_validate(config))

    def read(_: Path) -> object:
        return load_head(folder, device="cpu").segment([np.zeros((9, 9, 3), np.uint8)])

    return _files(folder), read


def photo(folder: Path) -> Made:
    return _pictures(folder), lambda path: read_photo(PhotoFile(path, "x"))


def mask(folder: Path) -> Made:
    return [path for path in _pictures(folder) if path.suffix != ".tif"], read_mask


def benchmark_image(folder: Path) -> Made:
    paths = [path for path in _pictures(folder) if path.suffix != ".tif"]
    return paths, lambda path: (Sample("x", path).image(), Sample("x", path).size())


def voc(folder: Path) -> Made:
    xml = folder / "Annotations" / "a.xml"
    listed = folder / "ImageSets" / "Main" / "trainval.txt"
    named = folder / "captions.csv"
    _picture(folder / "JPEGImages" / "a.jpg")
    _write(
        xml,
        "<?xml version='1.0' encoding='utf-8'?><annotation>"
        "<size><width>10</width><height>6</height></size><object><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax>"
        "<ymax>6</ymax></bndbox></object></annotation>",
    )
    _write(listed, "a 1\n")
    _write(named, "id,noun,caption\na,moon,a moon\n")
    return [xml, listed, named], lambda _: list(open_benchmark("voc", folder))


def coco(folder: Path) -> Made:
    described, listed = folder / "annotations/instances_train2014.json", "coco_20k_filenames.txt"
    _picture(folder / "train2014" / "a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "width": 10, "height": 6}
    box = {"image_id": 1, "iscrowd": 0, "bbox": [1, 2, 3.5, 4]}
    _write(described, json.dumps({"images": [image], "annotations": [box]}))
    _write(folder / listed, "train2014/a.jpg\n")
    return [described, folder / listed], lambda _: list(open_benchmark("coco", folder))


def clothing(folder: Path) -> Made:
    write_clothing(folder)

    def read(_: Path) -> object:
        return [photograph.square(4) for photograph in read_photographs(folder)]

    return _files(folder), read


def outlines(folder: Path) -> Made:
    all_of_them, one = folder / "outlines.json", folder / "a.json"
    outline = Outline((((1.0, 1.0), (8.0, 1.5), (4.0, 7.0)),), strip=1.0)
    write_drawn(Drawn({"a": outline, "b": outline}, {"a": outline}), all_of_them)
    _write(one, '{"inside": [[[1, 1], [8, 1.5], [4, 7]]], "outside": [], "strip": 1}')
    readers = {all_of_them: read_drawn, one: read_outline}
    return list(readers), lambda path: readers[path](path)


def class_names(folder: Path) -> Made:
    paths = [folder / "names.txt", folder / "names.json"]
    _write(paths[0], "moon\nfish\n")
    _write(paths[1], '["moon", "fish"]')
    return paths, read_class_names


def archive(folder: Path) -> Made:
    paths = [folder / name for name in ("a.zip", "a.tar", "a.tgz")]
    with zipfile.ZipFile(paths[0], "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("images/a.jpg", bytes(300))
    for path, mode in zip(paths[1:], ("w", "w:gz"), strict=True):
        with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
            info = tarfile.TarInfo("images/" + "\u00e9" * 120)
            info.size, info.mtime = 300, 0.5
            tar.addfile(info, io.BytesIO(bytes(300)))

    def read(path: Path) -> object:
        shutil.rmtree(folder / "out", ignore_errors=True)
        return unpack(path, folder / "out", {"images": "images"})

    return paths, read


def hashes(folder: Path) -> Made:
    path = folder / "hashes.json"
    files = {"a.zip": {"bytes": 3, "sha256": "0" * 64}}
    _write(path, json.dumps({"files": files, "contents": {"images/a.jpg": "0" * 64}}))
    return [path], read_hashes


def download_note(folder: Path) -> Made:
    part = folder / "a.zip.part"
    path = part.with_name(f"{part.name}.json")
    _write(path, json.dumps({"address": "https://x/a.zip", "version": '"1"', "total": 3}))
    return [path], lambda _: read_note(part)


def dvc_lock(folder: Path) -> Made:
    path, out = folder / "dvc.lock", {"path": "a", "hash": "md5", "md5": "0" * 32, "size": 3}
    stage = {"cmd": "x", "deps": [out], "outs": [out]}
    _write(path, yaml.safe_dump({"schema": "2.0", "stages": {"a": stage, "b": stage}}))
    return [path], locked_outputs


def run_records(folder: Path) -> Made:
    """What DVC's cache and Snakemake say of files, and the time that a run took so far."""
    listed, job, spent = (folder / name for name in ("list.dir", "job", "spent.json"))
    _write(listed, json.dumps([{"md5": "0" * 32, "relpath": "a.txt"}]))
    _write(job, json.dumps({"rule": "x", "endtime": 1.5, "input": []}))
    _write(spent, json.dumps({"seconds": 1.5, "runs": 1}))
    readers = {listed: lambda path: read_listed(folder, path), job: read_end, spent: read_spent}
    return list(readers), lambda path: readers[path](path)


def stamp(folder: Path) -> Made:
    path = folder / "settings.json"
    write_stamp(path, {"seed": 0})
    return [path], lambda path: write_stamp(path, {"seed": 0})


def source(folder: Path) -> Made:
    path = folder / "dseg" / "stages" / "one.py"
    _write(path, "from dseg.stages import one\nSECTIONS = ('seed',)\nx = [1, (2, 3)]\n")
    return [path], lambda _: sources("dseg.stages.one", folder)


def calibration(folder: Path) -> Made:
    path, whole = folder / "calibration.json", load_settings(ROOT / "params.yaml")
    said = {"settings": "x", "device": "cpu", "model": "x", "rates": {"sampling": 0.5}}
    _write(path, json.dumps(said))
    return [path], lambda path: read_calibration(whole, path)


def quality(folder: Path) -> Made:
    path = folder / "quality.json"
    _write(path, '{"images": 6, "classifier_accuracy": 0.5, "segmenter_iou": 0.75}')
    return [path], read_quality


def results(folder: Path) -> Made:
    path = folder / "results.json"
    box = {"x0": 1, "y0": 1, "x1": 3, "y1": 4, "area": 0.1}
    done = {"path": "a.jpg", "error": None, "width": 9, "height": 6, "boxes": [box]}
    failed = {"path": "b.jpg", "error": "no such file"}
    _write(path, json.dumps({"method": "head", "images": [done, failed]}))
    return [path], read_results


def prompts(folder: Path) -> Made:
    path = folder / "prompts.parquet"
    row = {"id": "a", "text": "a moon", "token_start": 1, "token_end": 2}
    row |= {"context_start": 0, "context_end": 0, "seed": 5}
    pd.DataFrame([row | {"class": "moon"}]).to_parquet(path, index=False)
    return [path], lambda path: (read_prompts(path), read_nouns(path, ["a"]))


def summary(folder: Path) -> Made:
    path = folder / "scores.parquet"
    Summary.of([Estimate(Kind.METHOD, "x", "iou", 0.5, benchmark="val")]).write(path)
    return [path], lambda path: Summary.read(path).flat()


def predictions(folder: Path) -> Made:
    """What `dseg score` is given: a soft mask and a true one."""
    paths = [folder / name / "a.png" for name in ("maps", "masks")]
    for path in paths:
        _picture(path)

    def read(_: Path) -> object:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return score.run(
                paths[0].parent, paths[1].parent, protocol=["tokencut"], mode=["multi"]
            )

    return paths, read


READERS: dict[str, Callable[[Path], Made]] = {
    **{"settings": settings, "settings of a stage": stage_settings, "shard": shard, "head": head},
    **{"checkpoint": checkpoint, "model files": model_files, "model": model},
    **{"exported head": exported_head, "photo": photo, "mask": mask},
    **{"image of a benchmark": benchmark_image, "VOC folder": voc, "COCO folder": coco},
    **{"clothes": clothing, "outlines": outlines},
    **{"class names": class_names, "archive": archive, "hashes": hashes},
    **{"note of a download": download_note, "dvc.lock": dvc_lock, "records of a run": run_records},
    **{"stamp": stamp, "source file": source, "calibration": calibration, "quality": quality},
    **{"results of segment": results, "prompts": prompts, "summary": summary},
    **{"masks to score": predictions},
}


def _write_head(path: Path) -> None:
    architecture = Architecture("rgb", (), True, 4, (8, 8))
    write_head(path, build(architecture).state_dict(), architecture, Said(pairs=2))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _picture(path: Path, mode: str = "L", **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def _pictures(folder: Path) -> list[Path]:
    """A small picture of each usual kind of file."""
    kinds = [("a.png", "L"), ("b.png", "P"), ("c.png", "RGBA"), ("d.jpg", "RGB"), ("e.bmp", "L")]
    kinds += [("f.gif", "P"), ("g.tif", "I;16"), ("h.tif", "F"), ("i.webp", "RGB"), ("j.ppm", "L")]
    return [_picture(folder / name, mode) for name, mode in kinds]
