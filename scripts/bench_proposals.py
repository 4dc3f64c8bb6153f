"""Diverse labellings of an image: times of every step on photos, each with its aim, and a peer in the same run.

    OMP_NUM_THREADS=1 python scripts/bench_proposals.py $SEGLAB_DATA/CamVid-mini --images 6

The folder is laid out as PASCAL VOC. Photos are divided into about 400 superpixels; unary costs are those of the
superpixel classifier, learnt from other photos of the folder (``real``), or of smooth random fields of 21 classes
(``random``). The peer of alpha-expansion gives every superpixel to scipy's maximum flow in every cut, by way of a list
of coordinates, as a straightforward program does; ours gives it only what is left undecided. ICM is the usual cheap
search (energies above ours, in percent). Peer and ours take turns; times are of the processor, medians of warm calls,
in seconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from seglab.proposals.energy import Energy
from seglab.proposals.expansion import alpha_expansion
from seglab.proposals.graph import Graph, contrast_weights, region_graph
from seglab.proposals.mean_field import mean_field
from seglab.proposals.recipe import Recipe
from seglab.proposals.solve import energy_of, look, solve
from seglab.proposals.store import ProposalSet
from seglab.proposals.superpixels import superpixels
from seglab.proposals.unary import Classifier, Samples, fit, label_counts, sample
from seglab.rerank.distance import reduce, symmetric_kl
from seglab.rerank.network_features import network_features
from seglab.rerank.proposal_features import proposal_features

SMOOTHNESS, DIVERSITY = 1.0, 0.5


def timed(calls: dict[str, Callable[[], object]], repeats: int) -> tuple[dict[str, float], dict[str, object]]:
    """Median processor times of calls that take turns, and their results; a first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    results: dict[str, object] = {}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            results[name] = call()
            if turn:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}, results


def naive_expansion(energy: Energy, sweeps: int = 10) -> np.ndarray:
    """Alpha-expansion with a sparse matrix for every cut, int32 capacities, all superpixels in it."""
    count, classes = energy.unary_SK.shape
    labels, (one, other), every = energy.unary_SK.argmin(1), energy.edges_E2.T, np.arange(count)
    scale = 2**29 / (np.ptp(energy.unary_SK, 1).sum() + 2 * energy.weight_E.sum())
    for _ in range(sweeps):
        before = energy.of(labels)
        for alpha in range(classes):
            split = (labels[one] != labels[other]) & (labels[one] != alpha) & (labels[other] != alpha)
            weight = np.where(split, energy.weight_E / 2, energy.weight_E)
            cost = energy.unary_SK[:, alpha] - energy.unary_SK[every, labels]
            cost -= np.bincount(one, weight * split, count) + np.bincount(other, weight * split, count)
            cost[labels == alpha] = -energy.weight_E.sum()
            rows = np.concatenate([one, other, np.full(count, count), every])
            columns = np.concatenate([other, one, every, np.full(count, count + 1)])
            values = np.concatenate([weight, weight, np.maximum(cost, 0), np.maximum(-cost, 0)]) * scale
            shape = (count + 2, count + 2)
            capacity = csr_array(coo_array((values.astype(np.int32), (rows, columns)), shape=shape))
            residual = capacity - maximum_flow(capacity, count, count + 1).flow
            residual.eliminate_zeros()
            keeps = np.zeros(count + 2, bool)
            keeps[breadth_first_order(residual, count, return_predecessors=False)] = True
            found = np.where(keeps[:count], labels, alpha)
            if energy.of(found) < energy.of(labels):
                labels = found
        if energy.of(labels) >= before:
            break
    return labels


def icm(energy: Energy, sweeps: int = 20) -> np.ndarray:
    """Iterated conditional modes."""
    labels, neighbours = energy.unary_SK.argmin(1), [[] for _ in energy.unary_SK]
    for (s, t), weight in zip(energy.edges_E2.tolist(), energy.weight_E.tolist(), strict=True):
        neighbours[s].append((t, weight))
        neighbours[t].append((s, weight))
    for _ in range(sweeps):
        before = labels.copy()
        for s, cost in enumerate(energy.unary_SK.copy()):
            for t, weight in neighbours[s]:
                cost[labels[t]] -= weight
            labels[s] = cost.argmin()
        if np.array_equal(labels, before):
            break
    return labels


def random_energy(graph: Graph, *, classes: int, strength: float) -> Energy:
    """Smooth random fields as scores, a little noise on each superpixel, and contrast-sensitive edges."""
    rng = np.random.default_rng(0)
    fields = gaussian_filter(rng.standard_normal((classes, *graph.labels_HW.shape)), (0, 20, 20))
    flat = graph.labels_HW.ravel()
    means = np.stack([np.bincount(flat, field.ravel()) for field in fields / fields.std()], 1) / graph.area_S[:, None]
    scores = 2 * means + rng.standard_normal(means.shape)
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    weight = strength / np.sqrt(graph.area_S.mean()) * contrast_weights(graph, beta=None, floor=0.1)
    return Energy(-np.log(chances) * (graph.area_S / graph.area_S.mean())[:, None], graph.edges_E2, weight)


def read(folder: Path, part: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Photos and masks of a part, evenly spaced."""
    ids = (folder / "ImageSets" / "Segmentation" / f"{part}.txt").read_text().split()
    ids = ids[:: max(len(ids) // count, 1)][:count]
    photos = [np.asarray(Image.open(folder / "JPEGImages" / f"{id_}.jpg").convert("RGB")) for id_ in ids]
    masks = [np.asarray(Image.open(folder / "SegmentationClass" / f"{id_}.png")) for id_ in ids]
    return list(zip(photos, masks, strict=True))


def learn(folder: Path, recipe: Recipe, classes: int) -> Classifier:
    """The superpixel classifier, from photos of the training part."""
    found, rng = [], np.random.default_rng(0)
    for photo, mask in read(folder, "train", 16):
        seen = look(photo, recipe)
        counts = label_counts(mask, seen.graph.labels_HW, count=len(seen.graph.area_S), classes=classes)
        found.append(sample(seen.features_SD, counts, seen.graph.area_S, most=recipe.samples, rng=rng))
    return fit(Samples.joined(found), classes=classes, waves=recipe.waves, strength=recipe.strength)


def one_solution(name: str, energy: Energy, repeats: int) -> list[str]:
    """Alpha-expansion beside its peers."""
    calls = {"ours": alpha_expansion, "peer": naive_expansion, "icm": icm}
    calls["mean field"] = lambda one: mean_field(one, iterations=20, damping=0.0)[0]
    times, found = timed({key: lambda call=call: call(energy) for key, call in calls.items()}, repeats)
    best = energy.of(found["ours"])
    above = {key: 100 * (energy.of(found[key]) - best) / abs(best) for key in calls}
    shape = " x ".join(map(str, energy.unary_SK.shape))
    return [
        f"one solution, {name}, {shape}: {times['ours']:.4f} s (aim 0.040); peer {times['peer']:.4f} s, "
        f"{times['peer'] / times['ours']:.1f} x ours; energies above ours: peer {above['peer']:.4f} %, "
        f"icm {above['icm']:.3f} %, mean field {above['mean field']:.3f} %"
    ]


def whole_path(photo: np.ndarray, judge: Classifier, recipe: Recipe, repeats: int) -> dict[str, float]:
    """Every step from the photo to ten proposals and their features for the ranking."""
    labels = superpixels(photo, count=recipe.superpixels, compactness=recipe.compactness)
    seen = look(photo, recipe)
    chances = judge.probabilities(seen.features_SD)
    settings = {"smoothness": SMOOTHNESS, "diversity": DIVERSITY}

    def proposals() -> ProposalSet:
        looked = look(photo, recipe)
        found = solve(looked.graph, judge.probabilities(looked.features_SD), recipe, **settings)
        maps = found.labels_MS[:, looked.graph.labels_HW].astype(np.uint8)
        return ProposalSet(maps, found.energy_M, found.augmented_M)

    made = proposals()
    network = np.random.default_rng(0).dirichlet(np.ones(judge.classes), (13, 13)).transpose(2, 0, 1)

    def ranking() -> None:
        reduced = reduce(made.labels_MHW, classes=judge.classes)
        symmetric_kl(network, reduced, epsilon=1e-3)
        network_features(network, reduced, epsilon=1e-3)
        proposal_features(photo, made, classes=judge.classes)

    calls = {
        "superpixels": lambda: superpixels(photo, count=recipe.superpixels, compactness=recipe.compactness),
        "graph": lambda: region_graph(labels, photo),
        f"{recipe.count} DivMBest solutions": lambda: solve(seen.graph, chances, recipe, **settings),
        f"photo to {recipe.count} proposals": proposals,
        "KL and features of the ranking": ranking,
    }
    return timed(calls, repeats)[0]


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    classes = len((options.folder / "classes.txt").read_text().splitlines())
    recipe = Recipe()
    judge = learn(options.folder, recipe, classes)
    aims = {f"photo to {recipe.count} proposals": 3.0, "KL and features of the ranking": 0.3}
    steps: dict[str, list[float]] = {}
    lines = [
        f"{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}, load {os.getloadavg()[0]:.1f}"
    ]
    for number, (photo, _) in enumerate(read(options.folder, "val", options.images)):
        seen = look(photo, recipe)
        real = energy_of(seen.graph, judge.probabilities(seen.features_SD), recipe, smoothness=SMOOTHNESS)
        if number == 0:
            for strength in (1.0, 4.0):
                energy = random_energy(seen.graph, classes=21, strength=strength)
                lines += one_solution(f"random, smoothness {strength:g}", energy, options.repeats)
            lines += one_solution("real", real, options.repeats)
        for step, seconds in whole_path(photo, judge, recipe, options.repeats).items():
            steps.setdefault(step, []).append(seconds)
    size = "x".join(map(str, photo.shape[1::-1]))
    for step, seconds in steps.items():
        aim = f" (aim {aims[step]:.1f})" if step in aims else ""
        lines.append(f"{step}, {size}, {classes} classes: {statistics.median(seconds):.3f} s{aim}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
