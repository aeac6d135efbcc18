"""The public data sets: where their files are fetched, and what they hold once unpacked.

Addresses are the publishers' own. Sizes and MD5 sums stand here only where they are widely
published (torchvision, pysaliency and the COCO site's own tags name the same); what is not known
is recorded at the first successful download instead, see `dseg.datasets.public.hashes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dseg.datasets.clothing.photographs import FOLDER, TABLE
from dseg.datasets.coco import LIST
from dseg.datasets.opening import LAYOUTS
from dseg.errors import DsegError


@dataclass(frozen=True)
class Source:
    """One file to fetch.

    Attributes:
        name: Its file name in the benchmark's folder.
        address: Where it is fetched, http or https.
        size: Its bytes, if known for certain.
        md5: Its MD5 sum, if published; our own record is of SHA-256.
        parts: What to take of an archive: folders or files in it -> their places in the
            benchmark's folder. They are found at any depth, and "" is all of it. Empty for a file
            used as it is.
        only: A list of files in the benchmark's folder: nothing else is taken of the archive.
    """

    name: str
    address: str
    size: int | None = None
    md5: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """One public data set: a benchmark, or photographs with labels alone.

    Attributes:
        name: What it is called here; also its folder.
        title: What its authors call it.
        layout: How its files lie once prepared, a key of `dseg.datasets.public.store.READERS`.
        images: How many images it has.
        page: Its home page, where its terms are.
        sources: What is fetched; none where no public address has it in this layout.
        holds: Folders and files that it consists of once prepared.
        lists: Files in its folder that are read besides images, masks and boxes.
        graded: Its masks are grades of agreement: those above one half become the foreground.
        empty: How many of its masks are empty, if known.
        unlisted: No list of its images is published, as its layout needs one: one of all is made.
        copies: Archives in which parts of it are handed on: taken where they lie in its folder,
            never fetched.
        sums: Files in its folder once prepared -> their SHA-256, where that is known.
    """

    name: str
    title: str
    layout: str
    images: int
    page: str
    sources: tuple[Source, ...]
    holds: tuple[str, ...]
    lists: tuple[str, ...] = ()
    graded: bool = False
    empty: int | None = None
    unlisted: bool = False
    copies: tuple[Source, ...] = ()
    sums: Mapping[str, str] = field(default_factory=dict)

    @property
    def scored(self) -> bool:
        """Whether masks can be scored on it; photographs with labels alone are to learn from."""
        return self.layout in LAYOUTS


VOC_LIST = "ImageSets/Main/trainval.txt"
_ECSSD = "https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/data/ECSSD/"
_DUT = "http://saliencydetection.net/"
_VOC = "http://host.robots.ox.ac.uk/pascal/VOC/"
_COCO = "http://images.cocodataset.org/"
_SAMPLE = "https://github.com/rafaelpadilla/review_object_detection_metrics"
_SAMPLE_COMMIT = "2efe66d2c4b89e4fcc64e490d4caced2096f03aa"
_CLOTHING = "https://github.com/alexeygrigorev/clothing-dataset"
_CLOTHING_COMMIT = "7ed86a9cc56763b6acb35e41cb35184e43a5d218"


def _voc(year: int, images: int, date: str, size: int, md5: str) -> Benchmark:
    name, page = f"VOCtrainval_{date}.tar", f"{_VOC}voc{year}/"
    folders = ("JPEGImages", "Annotations", "ImageSets")
    parts = {f"VOC{year}/{folder}": folder for folder in folders}
    source = Source(name, page + name, size, md5, parts)
    return Benchmark(
        f"voc{year % 100:02}",
        f"VOC {year} trainval",
        "voc",
        images,
        page,
        (source,),
        folders,
        lists=(VOC_LIST,),
    )


_ALL = (
    Benchmark(
        "ecssd",
        "ECSSD",
        "saliency",
        1000,
        "http://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html",
        (
            Source("images.zip", f"{_ECSSD}images.zip", parts={"images": "images"}),
            Source(
                "ground_truth_mask.zip",
                f"{_ECSSD}ground_truth_mask.zip",
                parts={"ground_truth_mask": "ground_truth_mask"},
            ),
        ),
        ("images", "ground_truth_mask"),
    ),
    Benchmark(
        "duts-te",
        "DUTS-TE",
        "saliency",
        5019,
        f"{_DUT}duts/",
        (
            Source(
                "DUTS-TE.zip",
                f"{_DUT}duts/download/DUTS-TE.zip",
                parts={"DUTS-TE-Image": "DUTS-TE-Image", "DUTS-TE-Mask": "DUTS-TE-Mask"},
            ),
        ),
        ("DUTS-TE-Image", "DUTS-TE-Mask"),
    ),
    Benchmark(
        "dut-omron",
        "DUT-OMRON",
        "saliency",
        5168,
        f"{_DUT}dut-omron/",
        (
            Source(
                "DUT-OMRON-image.zip",
                f"{_DUT}dut-omron/download/DUT-OMRON-image.zip",
                md5="a8951db9297afacf78bc0e5079103cf1",
                parts={"DUT-OMRON-image": "DUT-OMRON-image"},
            ),
            Source(
                "DUT-OMRON-gt-pixelwise.zip.zip",  # sic
                f"{_DUT}dut-omron/download/DUT-OMRON-gt-pixelwise.zip.zip",
                parts={"pixelwiseGT-new-PNG": "pixelwiseGT-new-PNG"},
            ),
        ),
        ("DUT-OMRON-image", "pixelwiseGT-new-PNG"),
    ),
    Benchmark(
        # Its authors publish outlines for Matlab; masks travel with toolboxes only.
        "sod",
        "SOD",
        "saliency",
        300,
        "http://elderlab.yorku.ca/SOD/",
        (),
        ("images", "masks"),
    ),
    Benchmark(
        "pascal-s",
        "PASCAL-S",
        "saliency",
        850,
        "http://cbs.ic.gatech.edu/salobj/",
        (
            Source(
                "salObj.zip",
                "http://cbs.ic.gatech.edu/salobj/download/salObj.zip",
                md5="e48b4e5deac08bddcaec55ce56e4d420",
                parts={"datasets/imgs/pascal": "images", "datasets/masks/pascal": "graded"},
            ),
        ),
        ("images", "masks"),
        graded=True,
        empty=5,
    ),
    _voc(2007, 5011, "06-Nov-2007", 460_032_000, "c52e279531787c972589f7e41ab4ae64"),
    _voc(2012, 11540, "11-May-2012", 1_999_639_040, "6cd6e144f989b92b3379bac3b3de84fd"),
    Benchmark(
        # For a first look: a hundredth of the download.
        "voc12-100",
        "VOC 2012, 100 images",
        "voc",
        100,
        _SAMPLE,
        (
            Source(
                f"{_SAMPLE_COMMIT}.zip",
                f"{_SAMPLE}/archive/{_SAMPLE_COMMIT}.zip",
                parts={
                    "data/database/images": "JPEGImages",
                    "data/database/gts/pascalvoc_format": "Annotations",
                },
            ),
        ),
        ("JPEGImages", "Annotations"),
        lists=(VOC_LIST,),
        unlisted=True,
    ),
    Benchmark(
        "coco20k",
        "COCO20K",
        "coco",
        19817,
        "https://cocodataset.org/",
        (
            Source(
                LIST,
                # This commit's file cannot change; LOST has the same one.
                "https://raw.githubusercontent.com/YangtaoWANG95/TokenCut/"
                f"fed52cd5b60891baefd8ec7110dafa73be816ee1/datasets/{LIST}",
                size=832_314,
                md5="133cea5ffcea93dccbaeb62c38b24e7c",
            ),
            Source(
                "annotations_trainval2014.zip",
                f"{_COCO}annotations/annotations_trainval2014.zip",
                size=252_872_794,
                md5="0a379cfc70b0e71301e0f377548639bd",
                parts={
                    "annotations/instances_train2014.json": "annotations/instances_train2014.json"
                },
            ),
            Source(
                "train2014.zip",
                f"{_COCO}zips/train2014.zip",
                size=13_510_573_713,
                md5="0da8c0bd3d6becc4dcb32757491aca88",
                parts={"train2014": "train2014"},
                only=LIST,  # a quarter of the archive
            ),
        ),
        ("train2014", "annotations"),
        lists=(LIST, "annotations/instances_train2014.json"),
    ),
    Benchmark(
        "clothing",
        "Clothing dataset",
        "clothing",
        5096,
        _CLOTHING,
        (
            # Packed anew at each request: its bytes may differ, those of its files may not.
            Source(
                f"{_CLOTHING_COMMIT}.zip",
                f"{_CLOTHING}/archive/{_CLOTHING_COMMIT}.zip",
                parts={FOLDER: FOLDER, TABLE: TABLE},
            ),
        ),
        (FOLDER, TABLE),
        lists=(TABLE,),
        # Beside the table; the photographs lie in a folder in it, or in none.
        copies=(Source(f"{FOLDER}.zip", "", parts={FOLDER: FOLDER, "": FOLDER}),),
        sums={TABLE: "35f08c1442351037b262cc7398368c9cacfb6d8e6a013780f7f2211ab856cb34"},
    ),
)

BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}


def find_benchmarks(names: Sequence[str]) -> list[Benchmark]:
    """The data sets of these names in any case, each once; ``all`` stands for every one.

    Raises:
        DsegError: There is no such data set.
    """
    found: dict[str, Benchmark] = {}
    for name in names:
        if name.lower() == "all":
            found |= BENCHMARKS
        elif name.lower() in BENCHMARKS:
            found[name.lower()] = BENCHMARKS[name.lower()]
        else:
            known = ", ".join(BENCHMARKS)
            raise DsegError(f"no data set {name!r}: expected some of {known}, or all")
    return list(found.values())
