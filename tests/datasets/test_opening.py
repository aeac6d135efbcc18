"""Readers of benchmarks: layouts, conventions of boxes, and one clear error for each defect."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseg.datasets.opening import open_benchmark
from dseg.datasets.voc import open_voc, read_annotation
from dseg.errors import DsegError

SIZE = (6, 9)  # height, width


def write_png(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture
def saliency(tmp_path: Path) -> Path:
    """Three images in ECSSD's layout, with masks of one bright square."""
    rng = np.random.default_rng(0)
    for id in ("0003", "0001", "0002"):
        image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        write_png(tmp_path / "images" / f"{id}.png", image)
        mask = np.zeros(SIZE, np.uint8)
        mask[1:4, 2:5] = 255
        write_png(tmp_path / "ground_truth_mask" / f"{id}.png", mask)
    return tmp_path


ANNOTATION = """<annotation><filename>{id}.jpg</filename>
  <object><name>dog</name><truncated>0</truncated><difficult>0</difficult>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
    <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>6</ymax></bndbox></object>
  <object><name>cat</name><truncated>0</truncated><difficult>1</difficult>
    <bndbox><xmin>3</xmin><ymin>3.5</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two listed images in VOC's layout and one that is not listed."""
    for id in ("2007_b", "2007_a", "2007_c"):
        write_png(tmp_path / "JPEGImages" / f"{id}.jpg", np.full((*SIZE, 3), 90, np.uint8))
        path = tmp_path / "Annotations" / f"{id}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(ANNOTATION.format(id=id))
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("2007_b\n2007_a\n")
    (lists / "dog_val.txt").write_text("2007_c  1\n\n")
    return tmp_path


def test_saliency_samples_are_sorted_and_read(saliency: Path) -> None:
    samples = open_benchmark("saliency", saliency, images=3)
    assert [sample.id for sample in samples] == ["0001", "0002", "0003"]
    sample = samples[1]
    image, mask = sample.image(), sample.mask()
    assert image.shape == (*SIZE, 3) and image.dtype == np.uint8
    assert np.array_equal(image, np.array(Image.open(sample.path)))
    assert mask is not None and mask.dtype == bool and mask.sum() == 9 and mask[1:4, 2:5].all()
    assert sample.boxes is None and sample.noun is None
    assert [sample.id for sample in samples[1:]] == ["0002", "0003"]
    assert samples[-1].id == "0003"


def test_files_are_read_when_asked_for(saliency: Path) -> None:
    (saliency / "images" / "0002.png").write_bytes(b"not a picture")
    samples = open_benchmark("saliency", saliency)
    assert samples[0].image().shape == (*SIZE, 3)
    with pytest.raises(DsegError, match=r"0002\.png: not a readable image"):
        samples[1].image()


@pytest.mark.parametrize("folders", [("images", "masks"), ("DUTS-TE-Image", "DUTS-TE-Mask")])
def test_folders_of_other_sets(tmp_path: Path, folders: tuple[str, str]) -> None:
    write_png(tmp_path / folders[0] / "a.JPG", np.zeros((*SIZE, 3), np.uint8))
    write_png(tmp_path / folders[1] / "a.png", np.zeros(SIZE, np.uint8))
    # What an archive packed on a Mac leaves behind.
    (tmp_path / folders[0] / "._a.jpg").write_bytes(b"\0")
    (sample,) = open_benchmark("saliency", tmp_path)
    assert sample.id == "a" and not sample.mask().any()  # type: ignore[union-attr]


def test_nouns_come_from_the_captions(saliency: Path) -> None:
    (saliency / "captions.csv").write_text('id,noun,caption\n0001,fish,"a fish, here"\n0003,,\n')
    nouns = [sample.noun for sample in open_benchmark("saliency", saliency)]
    assert nouns == ["fish", None, None]


@pytest.mark.parametrize("text", ["id,caption\n0001,a fish\n", "id,noun\n0001\n"])
def test_captions_without_nouns_are_an_error(saliency: Path, text: str) -> None:
    (saliency / "captions.csv").write_text(text)
    with pytest.raises(DsegError, match=r"captions\.csv: expected the columns id and noun"):
        open_benchmark("saliency", saliency)


def test_exif_orientation_turns_the_image_not_the_mask(tmp_path: Path) -> None:
    stored = np.zeros((4, 8, 3), np.uint8)
    stored[:, :4] = 200  # bright on the left as stored
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    path = write_png(tmp_path / "images" / "a.jpg", stored, exif=exif, quality=95)
    mask = np.zeros((8, 4), np.uint8)
    mask[:4] = 255
    write_png(tmp_path / "masks" / "a.png", mask)
    assert Image.open(path).size == (8, 4)
    (sample,) = open_benchmark("saliency", tmp_path)
    assert np.array_equal(sample.image().mean(axis=-1) > 100, sample.mask())  # bright on top
    assert sample.size() == sample.image().shape[:2] == (8, 4)


def test_kinds_of_images_and_masks(tmp_path: Path) -> None:
    grey = np.arange(54, dtype=np.uint8).reshape(SIZE)
    write_png(tmp_path / "images" / "grey.png", grey)
    write_png(tmp_path / "images" / "rgba.png", np.full((*SIZE, 4), 7, np.uint8))
    write_png(tmp_path / "images" / "one.png", grey)
    write_png(tmp_path / "masks" / "grey.png", (grey > 20).astype(np.uint8))  # 0 and 1
    write_png(tmp_path / "masks" / "rgba.png", grey > 20)  # one bit
    write_png(tmp_path / "masks" / "one.png", np.where(grey > 20, 128, 127).astype(np.uint8))
    for sample in open_benchmark("saliency", tmp_path):
        assert sample.image().shape == (*SIZE, 3)
        assert np.array_equal(sample.mask(), grey > 20)  # type: ignore[arg-type]
    one = open_benchmark("saliency", tmp_path)[1]
    assert one.id == "one" and set(np.unique(one.grey_mask())) == {127, 128}  # type: ignore[arg-type]


def test_a_mask_of_another_size_names_both_files(saliency: Path) -> None:
    write_png(saliency / "ground_truth_mask" / "0001.png", np.zeros((9, 6), np.uint8))
    sample = open_benchmark("saliency", saliency)[0]
    words = r"ground_truth_mask/0001\.png is 6 x 9 .*images/0001\.png is 9 x 6"
    with pytest.raises(DsegError, match=words):
        sample.mask()


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("a.png", "b.jpg"):
        path = write_png(tmp_path / "images" / name, pixels)
        path.write_bytes(path.read_bytes()[:-1000])
        write_png(tmp_path / "masks" / f"{path.stem}.png", np.zeros((64, 64), np.uint8))
    for sample in open_benchmark("saliency", tmp_path):
        with pytest.raises(DsegError, match=f"{sample.path.name}: not a readable image"):
            sample.image()


def test_files_missing_later_are_named(saliency: Path) -> None:
    sample = open_benchmark("saliency", saliency)[0]
    sample.path.unlink()
    for read in (sample.image, sample.mask):
        with pytest.raises(DsegError, match=r"0001\.png: no such file"):
            read()


def test_missing_masks_are_named(saliency: Path) -> None:
    for id in ("0002", "0003"):
        (saliency / "ground_truth_mask" / f"{id}.png").unlink()
    with pytest.raises(DsegError, match=r"0002\.png: missing mask of .*\(and 1 more\)"):
        open_benchmark("saliency", saliency)


def test_other_counts_and_folders(saliency: Path, tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="has 3 images where 1000 are expected"):
        open_benchmark("saliency", saliency, images=1000)
    with pytest.raises(DsegError, match="nowhere: no such folder.*params.yaml"):
        open_benchmark("saliency", tmp_path / "nowhere")
    with pytest.raises(DsegError, match="'yolo'.*saliency, voc, coco"):
        open_benchmark("yolo", saliency)
    with pytest.raises(DsegError, match="expected the folders images/ and ground_truth_mask/"):
        open_benchmark("saliency", saliency / "images")
    write_png(saliency / "images" / "0001.jpg", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(DsegError, match=r"0001\.png and 0001\.jpg differ only in the suffix"):
        open_benchmark("saliency", saliency)


def test_a_limit_takes_evenly_spaced_images(tmp_path: Path) -> None:
    for number in range(10):
        write_png(tmp_path / "images" / f"{number:04d}.png", np.zeros((4, 4, 3), np.uint8))
        write_png(tmp_path / "masks" / f"{number:04d}.png", np.zeros((4, 4), np.uint8))
    whole = open_benchmark("saliency", tmp_path, images=10)
    few = open_benchmark("saliency", tmp_path, images=10, limit=3)
    assert few.ids == ("0001", "0005", "0008") and few[2].id == "0008"
    for limit in (10, 99, None):
        assert open_benchmark("saliency", tmp_path, images=10, limit=limit).ids == whole.ids
    with pytest.raises(DsegError, match="has 10 images where 12 are expected"):
        open_benchmark("saliency", tmp_path, images=12, limit=3)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DsegError, match="images holds no image"):
        open_benchmark("saliency", tmp_path)


def test_voc_boxes_become_0_based_with_exclusive_ends(voc: Path) -> None:
    samples = open_benchmark("voc", voc, images=2)
    assert [sample.id for sample in samples] == ["2007_a", "2007_b"]
    boxes = samples[0].boxes
    assert boxes is not None and boxes.dtype == np.float64
    # Columns 1 to 9 of a 9 pixel wide image are all of it.
    assert boxes.tolist() == [[0, 1, 9, 6], [2, 2.5, 3, 4]]
    assert samples[0].mask() is None and samples[0].image().shape == (*SIZE, 3)


def test_voc_difficult_objects_and_other_splits(voc: Path) -> None:
    easy = open_benchmark("voc", voc, difficult="drop")[0]
    assert easy.boxes.tolist() == [[0, 1, 9, 6]]  # type: ignore[union-attr]
    assert open_voc(voc, keep_difficult=False)[0].boxes.tolist() == [[0, 1, 9, 6]]  # type: ignore[union-attr]
    assert open_voc(voc, split="dog_val").ids == ("2007_c",)
    with pytest.raises(DsegError, match=r"val\.txt: no such list.*dog_val, trainval"):
        open_voc(voc, split="val")


def test_voc_images_without_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<annotation></annotation>")
    assert read_annotation(path)[0].shape == (0, 4)


@pytest.mark.parametrize(
    "text",
    [
        "<annotation><object>",
        "<annotation><object><name>dog</name></object></annotation>",
        ANNOTATION.replace("<xmax>9</xmax>", "<xmax>nine</xmax>"),
        ANNOTATION.replace("<xmin>1</xmin><ymin>2", "<xmin>10</xmin><ymin>2"),
    ],
)
def test_broken_annotations_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(DsegError, match=r"a\.xml: not a VOC annotation"):
        read_annotation(path)


def test_voc_files_that_are_listed_but_missing(voc: Path) -> None:
    (voc / "Annotations" / "2007_b.xml").unlink()
    with pytest.raises(DsegError, match=r"Annotations/2007_b\.xml: no such file.*1 files"):
        open_benchmark("voc", voc)
    (voc / "JPEGImages" / "2007_a.jpg").unlink()
    with pytest.raises(DsegError, match=r"JPEGImages/2007_a\.jpg: no such file.*2 files"):
        open_benchmark("voc", voc)
    (voc / "ImageSets" / "Main" / "trainval.txt").write_text("\n")
    with pytest.raises(DsegError, match=r"trainval\.txt: expected one image id"):
        open_benchmark("voc", voc)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Two of three images are in the list; one of them has a crowd only."""
    names = [f"COCO_train2014_{id:012d}" for id in (7, 5, 9)]
    for name in names:
        write_png(tmp_path / "train2014" / f"{name}.jpg", np.zeros((*SIZE, 3), np.uint8))
    (tmp_path / "coco_20k_filenames.txt").write_text(
        "".join(f"train2014/{name}.jpg\n" for name in names[:2])
    )
    content = {
        "images": [
            {"id": id, "file_name": f"{name}.jpg"}
            for id, name in zip((7, 5, 9), names, strict=True)
        ],
        "annotations": [
            {"image_id": 7, "iscrowd": 0, "bbox": [1.4, 0.6, 2.2, 3.0]},
            {"image_id": 9, "iscrowd": 0, "bbox": [0, 0, 1, 1]},
            {"image_id": 5, "iscrowd": 1, "bbox": [0, 0, 9, 6]},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2014.json").write_text(json.dumps(content))
    return tmp_path


def test_coco_takes_listed_images_without_crowds(coco: Path) -> None:
    samples = open_benchmark("coco", coco, images=2)
    assert [sample.id[-2:] for sample in samples] == ["05", "07"]
    assert samples[0].boxes.shape == (0, 4)  # type: ignore[union-attr]
    assert samples[1].boxes.tolist() == [[1, 1, 4, 4]]  # type: ignore[union-attr]
    assert samples[1].image().shape == (*SIZE, 3)


def test_crowds_and_difficult_objects_are_a_choice(coco: Path) -> None:
    samples = open_benchmark("coco", coco, crowd="keep")
    assert samples[0].boxes.tolist() == [[0, 0, 9, 6]]  # type: ignore[union-attr]
    # What the other layout is asked does not concern this one.
    assert len(open_benchmark("coco", coco, difficult="drop")[1].boxes) == 1  # type: ignore[arg-type]
    with pytest.raises(DsegError, match="crowd boxes 'yes': expected one of keep, drop"):
        open_benchmark("coco", coco, crowd="yes")


def test_coco_errors_name_the_file(coco: Path) -> None:
    annotations = coco / "annotations" / "instances_train2014.json"
    whole = annotations.read_text()
    annotations.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(DsegError, match=r"does not describe COCO_train2014_000000000005"):
        open_benchmark("coco", coco)
    annotations.write_text(whole[:-20])
    with pytest.raises(DsegError, match="json: not a COCO annotation file"):
        open_benchmark("coco", coco)
    annotations.unlink()
    with pytest.raises(DsegError, match="json: cannot be read"):
        open_benchmark("coco", coco)
    (coco / "train2014" / "COCO_train2014_000000000007.jpg").unlink()
    with pytest.raises(DsegError, match=r"000007\.jpg: no such file.*1 images are missing"):
        open_benchmark("coco", coco)
    (coco / "coco_20k_filenames.txt").unlink()
    with pytest.raises(DsegError, match="no such list of images"):
        open_benchmark("coco", coco)


def test_sod_opens_as_it_lies(shared: Path) -> None:
    samples = open_benchmark("saliency", shared / "data" / "sod", images=300)
    for sample in samples[::30]:
        mask = sample.mask()
        assert mask is not None and sample.image().shape == (*mask.shape, 3)
        assert 0 < mask.mean() < 1


def test_real_voc_annotations_fit_their_images(shared: Path, tmp_path: Path) -> None:
    given = shared / "data" / "voc2012_100"
    (tmp_path / "JPEGImages").symlink_to(given / "images")
    (tmp_path / "Annotations").symlink_to(given / "Annotations")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    ids = [path.stem for path in (given / "Annotations").glob("*.xml")]
    (lists / "trainval.txt").write_text("\n".join(ids))
    samples = open_benchmark("voc", tmp_path, images=100)
    for sample in samples:
        boxes = sample.boxes
        assert boxes is not None and len(boxes) > 0
        width, height = Image.open(sample.path).size
        assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] < boxes[:, 2:]).all()
        assert (boxes[:, 2:] <= (width, height)).all()
    first = samples[0]
    assert first.id == "2007_000027" and first.boxes.tolist() == [[173, 100, 349, 351]]  # type: ignore[union-attr]
    assert first.image().shape == (500, 486, 3)
