"""Published scores of other methods, each with its source: what benchmark tables stand beside ours.

Percent, as their sources print them. A method is here only with numbers that were seen in the
source named; what a source does not give is absent, and reads "not available". Of DiffusionSeg,
the paper, no number was available to us.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

DAGGER = "†"
# Said below every table: what the numbers are worth beside each other.
DAGGER_NOTE = (
    f"{DAGGER}: beta^2 = 0.09 and each image's own maximum, not to be compared in maxF with rows "
    "that have no such mark."
)
DISCLOSURE = (
    "The other methods build on features learnt from images alone, DINO's in most cases; a "
    "text-to-image model has seen pairs of images and captions."
)


@dataclass(frozen=True)
class Benchmark:
    """A public benchmark: its name in text, and how many images published scores are over."""

    label: str
    images: int


@dataclass(frozen=True)
class Published:
    """Scores of one method from one source.

    Attributes:
        method: As the source calls it, † where maxF is another than the usual one.
        source: Where the numbers were seen.
        protocol: How they were computed, as far as the source says.
        scores: By benchmark: (Acc, IoU, maxF), or (CorLoc,), percent.
    """

    method: str
    source: str
    protocol: str
    scores: Mapping[str, tuple[float, ...]] = field(hash=False)


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "ecssd": Benchmark("ECSSD", 1000),
        "duts-te": Benchmark("DUTS-TE", 5019),
        "dut-omron": Benchmark("DUT-OMRON", 5168),
        "voc07": Benchmark("VOC07", 5011),
        "voc12": Benchmark("VOC12", 11540),
        "coco20k": Benchmark("COCO20K", 19817),
    }
)
_UCOS = "UCOS-DA repository (ICCVW 2023)"
_UCOS_PROTOCOL = "evaluator of UCOS-DA"

SALIENCY: tuple[Published, ...] = (
    Published(
        "TokenCut (ViT-S/16)",
        "TokenCut README",
        "tokencut",
        {
            "ecssd": (91.8, 71.2, 80.3),
            "duts-te": (90.3, 57.6, 67.2),
            "dut-omron": (88.0, 53.3, 60.0),
        },
    ),
    Published(
        "TokenCut (ViT-S/16) + bilateral solver",
        "TokenCut README",
        "tokencut",
        {
            "ecssd": (93.4, 77.2, 87.4),
            "duts-te": (91.4, 62.4, 75.5),
            "dut-omron": (89.7, 61.8, 69.7),
        },
    ),
    Published(
        f"SelfMask {DAGGER} (variant not stated)",
        "leaderboard page",
        "selfmask",
        {
            "ecssd": (95.5, 81.8, 95.6),
            "duts-te": (93.3, 66.0, 88.2),
            "dut-omron": (91.9, 65.5, 85.2),
        },
    ),
    Published("BigGW", _UCOS, _UCOS_PROTOCOL, {"ecssd": (90.5, 68.9, 80.0)}),
    Published("TokenCut", _UCOS, _UCOS_PROTOCOL, {"ecssd": (91.8, 71.2, 80.3)}),
    Published("TokenCut + bilateral solver", _UCOS, _UCOS_PROTOCOL, {"ecssd": (93.4, 77.4, 87.4)}),
    Published("SpectralSeg", _UCOS, _UCOS_PROTOCOL, {"ecssd": (89.1, 73.3, 80.5)}),
    Published("SelfMask", _UCOS, _UCOS_PROTOCOL, {"ecssd": (94.3, 77.9, 89.2)}),
    Published("FOUND", _UCOS, _UCOS_PROTOCOL, {"ecssd": (94.8, 80.5, 89.6)}),
    Published("UCOS-DA", _UCOS, _UCOS_PROTOCOL, {"ecssd": (95.1, 81.6, 89.1)}),
)

CORLOC: tuple[Published, ...] = (
    Published(
        "LOST", "LOST README", "CorLoc", {"voc07": (61.9,), "voc12": (64.0,), "coco20k": (50.7,)}
    ),
    Published(
        "LOST + CAD",
        "LOST README",
        "CorLoc",
        {"voc07": (65.7,), "voc12": (70.4,), "coco20k": (57.5,)},
    ),
    Published(
        "TokenCut (ViT-S/16)",
        "TokenCut README",
        "CorLoc",
        {"voc07": (68.8,), "voc12": (72.1,), "coco20k": (58.8,)},
    ),
    Published(
        "TokenCut (ViT-B/16)",
        "TokenCut README",
        "CorLoc",
        {"voc07": (68.8,), "voc12": (72.4,), "coco20k": (59.0,)},
    ),
    Published(
        "SelfMask",
        "leaderboard page",
        "CorLoc",
        {"voc07": (72.3,), "voc12": (75.3,), "coco20k": (62.7,)},
    ),
    Published(
        "PEEKABOO",
        "PEEKABOO README",
        "CorLoc",
        {"voc07": (72.7,), "voc12": (75.9,), "coco20k": (64.0,)},
    ),
)

PAPER = Published(
    "DiffusionSeg (the paper)", "none of its numbers was available to us", "not available", {}
)
