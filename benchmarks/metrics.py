"""CPU time of a metric an image, on one thread, as JSON: histograms against a loop over thresholds.

    python benchmarks/metrics.py [--images 10] [--height 300] [--width 400]

All give the same curve of 255 thresholds (protocol tokencut); the script fails if they do not. The
loop is timed as the papers' code has it, in torch, and as lean as numpy allows.
Expected on one core of a 2020s server at 300 x 400, median: histograms 0.3 ms for 8-bit maps (what
predictions are stored as) and 1 to 4 ms for float maps; the loop 90 ms in torch, 6 ms in numpy.

Then what an image costs in the stage evaluation, reading files apart, from a prediction of 512 x
512 pixels: its box at 480 x 640, as in COCO (8 ms: the 19,817 images of COCO20K take 3 minutes a
method), all protocols (10 ms), and each post-processing and mode on top (40 ms, nearly all of it
the bilateral solver).
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is loaded

import numpy as np  # noqa: E402
import torch  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dseg.evaluation.boxes import mask_to_box  # noqa: E402
from dseg.evaluation.metrics import Accumulator, Curves  # noqa: E402
from dseg.evaluation.postprocessing import MODES, POSTPROCESSING, scored_maps  # noqa: E402
from dseg.evaluation.scoring import Case, Evaluator  # noqa: E402
from dseg.method.resample import match_size  # noqa: E402

Pair = tuple[np.ndarray, np.ndarray]
THRESHOLDS = np.arange(0, 1, 1 / 255).astype(np.float32)


def draw_pairs(count: int, height: int, width: int) -> list[Pair]:
    """Noisy predictions, float32 in [0, 1], of elliptic objects."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    truths = [(x - a) ** 2 + (y - b) ** 2 < 0.3 for a, b in rng.uniform(-0.5, 0.5, (count, 2))]
    return [
        ((0.5 * truth + 0.5 * rng.random(truth.shape)).astype(np.float32), truth)
        for truth in truths
    ]


def loop_in_torch(soft: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """F at each threshold with the operations of the code of TokenCut and MOVE."""
    prediction, target, f = torch.from_numpy(soft), torch.from_numpy(truth), []
    for threshold in THRESHOLDS:
        mask = prediction > float(threshold)
        hits = torch.sum(target * (target == mask)).float()
        predicted, positives = torch.sum(mask).float(), torch.sum(target).float()
        precision = hits / predicted if predicted > 0 else torch.ones(())
        recall = hits / positives
        f.append(float(torch.nan_to_num(1.3 * precision * recall / (0.3 * precision + recall))))
    return np.array(f)


def loop_in_numpy(soft: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """F at each threshold, by counting."""
    f, positives = [], np.count_nonzero(truth)
    for threshold in THRESHOLDS:
        mask = soft > threshold
        hits, predicted = np.count_nonzero(mask & truth), np.count_nonzero(mask)
        precision, recall = hits / predicted if predicted else 1.0, hits / positives
        f.append(1.3 * precision * recall / (0.3 * precision + recall) if hits else 0.0)
    return np.array(f)


def milliseconds(work: Callable[[np.ndarray, np.ndarray], object], pairs: list[Pair]) -> float:
    """Median CPU time over the images, after a call that fills caches."""
    work(*pairs[0])
    times = []
    for pair in pairs:
        start = time.thread_time()
        work(*pair)
        times.append(1e3 * (time.thread_time() - start))
    return round(float(np.median(times)), 3)


def evaluation_times(pairs: list[Pair]) -> dict[str, float]:
    """CPU time of what the stage evaluation does with one image, by what is asked for."""
    rng = np.random.default_rng(1)
    height, width = pairs[0][1].shape
    cells = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    photo = cells.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    predicted = [
        ((255 * match_size(soft, (512, 512))).astype(np.uint8), truth) for soft, truth in pairs
    ]

    def corloc(soft: np.ndarray, _: np.ndarray) -> object:
        return mask_to_box(match_size(soft, (480, 640)))

    def protocols(soft: np.ndarray, truth: np.ndarray) -> object:
        return Evaluator().update(Case("image", match_size(soft, truth.shape), mask=truth))

    def everything(soft: np.ndarray, truth: np.ndarray) -> object:
        soft = match_size(soft, truth.shape)
        return scored_maps(soft, photo, postprocessing=POSTPROCESSING, modes=MODES)

    return {
        "box, 480 x 640": milliseconds(corloc, predicted),
        "all protocols": milliseconds(protocols, predicted),
        "all post-processings and modes": milliseconds(everything, predicted),
    }


def curves(soft: np.ndarray, truth: np.ndarray) -> Curves:
    """The curves of one image."""
    accumulator = Accumulator()
    accumulator.update(soft, truth)
    return accumulator.curves()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--height", type=int, default=300)
    parser.add_argument("--width", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs = draw_pairs(options.images, options.height, options.width)
    grey = [((255 * soft).astype(np.uint8), truth) for soft, truth in pairs]
    for pair in pairs:
        f = curves(*pair).f
        if not (np.allclose(f, loop_in_numpy(*pair)) and np.allclose(f, loop_in_torch(*pair))):
            raise SystemExit("error: the histograms and the loops disagree")
    times = {
        "histograms, 8-bit": milliseconds(curves, grey),
        "histograms, float32": milliseconds(curves, pairs),
        "loop in torch, float32": milliseconds(loop_in_torch, pairs),
        "loop in numpy, float32": milliseconds(loop_in_numpy, pairs),
    }
    result = {
        "height": options.height,
        "width": options.width,
        "images": options.images,
        "thresholds": len(THRESHOLDS),
        "ms_per_image": times,
        "evaluation_ms_per_image": evaluation_times(pairs),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
