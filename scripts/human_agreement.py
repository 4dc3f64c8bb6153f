"""How well people agree on BSDS500: every annotator is scored as a prediction against the others of the same image.

Leave one out: the prediction is one annotator's segmentation and, for boundaries, the lines as that annotator drew them
(they are thin already; they are not thinned again); the truth is all other annotators of that image. An image with one
annotator is left out.

* covering: of every other annotator's regions by the prediction's; sum of |G| max IoU over sum of |G|, pooled over all
  images, predictions and others;
* PRI, VOI (bits): mean over the others, then over the predictions of an image, then over the images;
* boundary precision (a pixel is a hit if any other annotator matches it), recall (summed over the others) and F from
  counts pooled over all images and predictions; pixels match up to 0.0075 of the image diagonal.

--check N compares the first N images with other programs: loops over masks for covering and Rand index,
skimage.metrics.variation_of_information, scipy.sparse.csgraph.maximum_flow. Which pixels a matching with
the most pairs leaves single is not determined, so for precision the minimum-cost matching is taken as well.

OMP_NUM_THREADS=1 SEGLAB_DATA=data python scripts/human_agreement.py --check 10
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from bench_boundaries import exact, photos
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_flow
from scipy.spatial import KDTree
from skimage.metrics import variation_of_information

from seglab.atomic import write_atomic
from seglab.data.annotations import Annotations
from seglab.data.mat import read_bsds
from seglab.metrics.boundaries import MAX_DISTANCE, boundary_counts, truth_boundaries
from seglab.metrics.boundary_summary import precision_recall_f
from seglab.metrics.matching import squared_reach
from seglab.metrics.regions import region_scores

log = logging.getLogger("human_agreement")
COLUMNS = ("covering", "pri", "voi", "precision", "recall", "f")
SUMS = ("cover", "area", "pri", "voi", "matched_recall", "truth", "matched_precision", "found")
PUBLISHED = {
    "covering": "0.72",
    "pri": "0.87 to 0.88",
    "voi": "1.1 to 1.2",
    "precision": "",
    "recall": "",
    "f": "0.79 to 0.80",
}
"""What Arbelaez et al., TPAMI 2011, print for people on the test parts of BSDS300 and BSDS500: for orientation."""


def load(photo: Path) -> Annotations:
    """Annotations with boundaries: as drawn, or made from the segments where none are stored."""
    found = read_bsds(photo.parents[2] / "groundTruth" / photo.parent.name / f"{photo.stem}.mat")
    drawn = found.boundaries_AHW if found.boundaries_AHW is not None else truth_boundaries(found.segments_AHW)
    return Annotations(found.segments_AHW, drawn)


def leave_one_out(photo: Path) -> np.ndarray:
    """Sums of one image, float64 [A, 8], a row a prediction, columns as in ``SUMS``."""
    segments_AHW, drawn_AHW = load(photo)
    rows = []
    for a in range(len(segments_AHW) if len(segments_AHW) > 1 else 0):
        others = np.arange(len(segments_AHW)) != a
        regions = region_scores(segments_AHW[a : a + 1], segments_AHW[others])
        counts = boundary_counts(drawn_AHW[a : a + 1], drawn_AHW[others], thin=False)
        rows.append(
            [regions.cover_T[0], regions.area, regions.pri_T[0], regions.voi_T[0], *(int(c[0]) for c in counts)]
        )
    return np.array(rows, np.float64).reshape(-1, len(SUMS))


def values(images: list[np.ndarray]) -> list[float]:
    """The six numbers of a set of images, in the order of ``COLUMNS``."""
    rows = np.concatenate(images)
    mean = np.mean([image[:, 2:4].mean(0) for image in images], axis=0)
    return [rows[:, 0].sum() / rows[:, 1].sum(), *mean, *precision_recall_f(rows[:, 4:].sum(0))]


def check_image(photo: Path) -> dict[str, float]:
    """Difference of each number of one image between seglab and other programs."""
    segments_AHW, drawn_AHW = load(photo)
    theirs = np.array([by_others(segments_AHW, drawn_AHW, a) for a in range(len(segments_AHW))])
    first, second = values([leave_one_out(photo)]), values([theirs[:, :8]])
    found = {name: abs(x - y) for name, x, y in zip(COLUMNS, first, second, strict=True)}
    found["precision, minimum cost"] = abs(first[3] - theirs[:, 8].sum() / theirs[:, 7].sum())
    return found


def by_others(segments_AHW: np.ndarray, drawn_AHW: np.ndarray, a: int) -> list[float]:
    """One prediction: the sums in the order of ``SUMS`` and the pixels that a minimum-cost matching hits."""
    rand, cover, voi, recall, truth = [], [], [], 0, 0
    hit = np.zeros((2, int(drawn_AHW[a].sum())), bool)
    reach2 = squared_reach(drawn_AHW[a].shape, MAX_DISTANCE)
    for b in [b for b in range(len(segments_AHW)) if b != a]:
        for numbers, value in zip((rand, cover), loops(segments_AHW[a], segments_AHW[b]), strict=True):
            numbers.append(value)
        voi.append(float(np.sum(variation_of_information(segments_AHW[b], segments_AHW[a]))))
        partner = most_pairs(drawn_AHW[a], drawn_AHW[b])
        recall, truth = recall + int(partner.sum()), truth + int(drawn_AHW[b].sum())
        hit |= np.stack([partner, exact(drawn_AHW[a], drawn_AHW[b], reach2) >= 0])
    area = segments_AHW[a].size * len(cover)
    return [sum(cover), area, np.mean(rand), np.mean(voi), recall, truth, hit[0].sum(), hit.shape[1], hit[1].sum()]


def loops(found_HW: np.ndarray, truth_HW: np.ndarray) -> tuple[float, float]:
    """Rand index and sum of |G| max IoU, region by region."""
    cover, same_both, pixels = 0.0, 0, found_HW.size
    regions = [(found_HW == u).ravel() for u in np.unique(found_HW)]
    truths = [(truth_HW == v).ravel() for v in np.unique(truth_HW)]
    size = np.count_nonzero
    for truth in truths:
        best = 0.0
        for region in regions:
            both = int(size(region & truth))
            if both:
                same_both += both**2
                best = max(best, both / int(size(region | truth)))
        cover += int(size(truth)) * best
    same_found, same_truth = (sum(int(size(one)) ** 2 for one in side) for side in (regions, truths))
    return 1 - ((same_found + same_truth) / 2 - same_both) / (pixels * (pixels - 1) / 2), cover


def most_pairs(found_HW: np.ndarray, truth_HW: np.ndarray) -> np.ndarray:
    """SciPy's matching with the most pairs as a flow of whole units; bool [P], pixels that have a partner."""
    found, truth = np.argwhere(found_HW), np.argwhere(truth_HW)
    limit = MAX_DISTANCE * np.hypot(*found_HW.shape)
    near = KDTree(found).sparse_distance_matrix(KDTree(truth), limit, output_type="coo_matrix")
    first, last, sink = 1, 1 + len(found), 1 + len(found) + len(truth)
    rows = np.concatenate([np.zeros(len(found)), first + near.row, last + np.arange(len(truth))]).astype(int)
    columns = np.concatenate([first + np.arange(len(found)), last + near.col, np.full(len(truth), sink)])
    graph = csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape=(sink + 1, sink + 1))
    return maximum_flow(graph, 0, sink, method="dinic").flow[[0]].toarray()[0, first:last] > 0


def markdown(total: list[float], spread: np.ndarray, *, part: str, images: int, predictions: int) -> str:
    """The result as a page."""
    rules = [line for line in (__doc__ or "").split("\n\n")[1:3]]
    lines = [
        f"# Human agreement on BSDS500 {part}",
        f"{images} images, {predictions} predictions.",
        *rules,
        "| | covering | PRI | VOI | boundary precision | boundary recall | boundary F |\n"
        + f"|---{'|--:' * len(COLUMNS)}|\n"
        + f"| all images | {' | '.join(f'{v:.4f}' for v in total)} |\n"
        + f"| standard deviation over images | {' | '.join(f'{v:.4f}' for v in spread)} |\n"
        + f"| published for the test parts, for orientation | {' | '.join(PUBLISHED[c] for c in COLUMNS)} |",
        "Standard deviation: of the numbers of single images, each made as above from that image alone.",
        "Made by `python scripts/human_agreement.py`.",
    ]
    return "\n\n".join(lines) + "\n"


def table_csv(names: list[str], images: list[np.ndarray]) -> str:
    """One line an image, all digits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("image", "annotators", *COLUMNS))
    for name, image in zip(names, images, strict=True):
        writer.writerow((name, len(image), *values([image])))
    writer.writerow(("all", sum(len(image) for image in images), *values(images)))
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="val", choices=("train", "val", "test"))
    parser.add_argument("--images", type=int, help="only the first so many images")
    parser.add_argument("--check", type=int, default=0, help="images to compare with other programs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("outputs"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = photos(args.part)[: args.images]
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        images = list(pool.map(leave_one_out, chosen))
        kept = [(photo, image) for photo, image in zip(chosen, images, strict=True) if len(image)]
        chosen, images = [photo for photo, _ in kept], [image for _, image in kept]
        total, spread = values(images), np.std([values([image]) for image in images], axis=0)
        count = sum(len(image) for image in images)
        page = markdown(total, spread, part=args.part, images=len(images), predictions=count)
        write_atomic(args.out / f"human_agreement_{args.part}.csv", table_csv([photo.stem for photo in chosen], images))
        write_atomic(args.out / f"human_agreement_{args.part}.md", page)
        sys.stdout.write(page)
        if args.check:
            found = list(pool.map(check_image, chosen[: args.check]))
            log.info("largest difference of an image from other programs, %d images:", len(found))
            for name in found[0]:
                log.info("  %-24s %.1e", name, max(one[name] for one in found))


if __name__ == "__main__":
    main()
