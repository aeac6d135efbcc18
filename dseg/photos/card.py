"""The model card of an exported head: every number in it comes from the run."""

import textwrap
from collections.abc import Mapping, Sequence

from dseg.photos.exported import HEAD, HeadConfig

EMBEDDED = (
    "**It has never seen a photograph.** Its training and its test images are the rendered world "
    "of this package, {size} pixels, and it finds what looks like their objects: one of {kinds}, "
    "on a textured background. On photographs its masks mean little."
)
OTHER = (
    "Its training images were synthesised, of {count} classes. What is unlike them, in kind or in "
    "style, it may miss."
)
OWN = ("models/dseg-tiny", "models/dseg-photo")  # base models of this repository
METRICS = {"acc": "Acc", "iou": "IoU", "max_f": "maxF", "corloc": "CorLoc"}
CARD = """\
---
{front}
---

# {name}

<!-- Written by `dseg export`; do not edit. -->

A segmentation head for unsupervised object discovery, trained by dseg, a reproduction of
DiffusionSeg ([arXiv 2303.09813](https://arxiv.org/abs/2303.09813)), without any mask drawn by a
person. It has {parameters:,} parameters in `{head}` ({kilobytes:.0f} kB).

{limits}

```python
import dseg
from PIL import Image

segmenter = dseg.load("{name}")
(result,) = segmenter.segment([Image.open("photo.jpg")])
result.mask, result.soft, result.boxes
```

Or `dseg segment photo.jpg --model {name} --out masks`.

## What it reads

{reads}

`config.json` holds these settings, and those with which `dseg segment --method attentioncut` runs
without the head.

## Training

| | |
|---|---|
| run | profile `{profile}`, variant `{variant}`, seed {seed}, settings {settings_hash} |
| pairs | {pairs:,} synthetic images with masks by AttentionCut |
| classes | {classes} |

## Scores

{scores}

## Limits

- One salient object is what it was trained for. Where there is none it may still find one, and
  several may become one mask.
- An image is stretched to {height} x {width} pixels and the mask back to the image's size:
  detail finer than that is lost, more so in large and in narrow images.
- The soft mask is not calibrated: 0.7 is not a probability of 70 %.

## Licence

{licence}
"""


def head_card(name: str, config: HeadConfig, reads_features: bool, size_bytes: int) -> str:
    """The card, Markdown with a front matter.

    Args:
        name: Of the folder.
        config: What is said of the head.
        reads_features: Whether it reads features of the base model, or the image alone.
        size_bytes: Of its file.
    """
    training, base = config.training, config.base_model
    height, width = config.size
    base_name = base.hub or (base.folder or "").rpartition("/")[2]
    front = ["library_name: dseg", "pipeline_tag: image-segmentation"]
    own = training.embedded or base.folder in OWN
    if own:
        front.insert(0, "license: apache-2.0")
    if base.hub and reads_features:
        front.append(f"base_model: {base.hub}")
    limits = EMBEDDED if training.embedded else OTHER
    return CARD.format(
        front="\n".join(front),
        name=name,
        head=HEAD,
        parameters=training.parameters,
        kilobytes=size_bytes / 1000,
        limits=_wrapped(
            limits.format(
                size=f"{height} x {width}",
                kinds=_list(training.classes),
                count=len(training.classes),
            )
        ),
        reads=_reads(config, base_name) if reads_features else "The image alone (RGB network).",
        profile=training.profile,
        variant=training.variant,
        seed=config.seed,
        settings_hash=training.settings_hash,
        pairs=training.pairs,
        classes=_list(training.classes),
        scores=_scores(training.scores, training.protocol),
        height=height,
        width=width,
        licence="Apache-2.0, as the code and the base model, which is shipped with it."
        if own
        else f"The terms of the base model, {base_name}, may bind what is derived from it.",
    )


def _reads(config: HeadConfig, base: str) -> str:
    features, inversion = config.features, config.inversion
    way = {
        "inversion": f"latents inverted by DDIM ({inversion.steps} steps over all timesteps, "
        f"fixed-point iterations: {inversion.fixed_point})",
        "noise": "latents with noise added",
        "clean": "latents of the clean image",
    }[features.source]
    fractions = _list([f"{fraction:g}" for fraction in features.timesteps])
    strides = _list([str(stride) for stride in features.strides])
    revision = f" at revision {config.base_model.revision}" if config.base_model.revision else ""
    return _wrapped(
        f"Features of the U-Net of {base}{revision}, for {way}, at {fractions} of the training "
        f"timesteps, of the decoder at strides {strides} of the latent grid. The base model must "
        f"have the identity `{config.base_model.identity}`; loading checks it."
    )


def _scores(scores: Mapping[str, Mapping[str, float]], protocol: str) -> str:
    columns = [name for name in METRICS if any(name in each for each in scores.values())]
    rows = [
        [benchmark, *(f"{each[name]:.1f}" if name in each else "" for name in columns)]
        for benchmark, each in scores.items()
    ]
    header = ["benchmark", *(METRICS[name] for name in columns)]
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"Percent, protocol {protocol}, as in the run's tables.\n\n{table}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 98, break_long_words=False, break_on_hyphens=False)


def _list(words: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"
