"""Twenty regions and twenty channels: bounds in closed form, and a short training of every region loss."""

import pytest
import torch

from seglab.losses.cas import CAS, cas_loss
from seglab.losses.discriminative import Discriminative
from seglab.losses.magnet import Magnet
from seglab.losses.triplet import Triplet
from seglab.models.unet_small import unet_small


def bounds(N, M, *, alpha=0.1, kappa=1, normalise=False):
    """Lowest and highest CAS of an image of N regions with M channels.

    sum_{i<j} ||a_i - a_j||^2 = N sum ||a_i||^2 - ||sum a_i||^2 is at most N^2 - N^2 / M, and at most 2 for each pair.
    """
    pairs = min(N * (N - 1), N * N * (1 - 1 / M))
    if normalise and N > 1:
        pairs = pairs / (N - 1)
    return -kappa * (1 - alpha) * pairs, alpha * N * (1 - 1 / M)


def composed(B, N, size, *, seed=0):
    """Images of N cells around random points, each of one colour with noise, and their label maps."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(size)
    points = torch.rand(B, N, 2, generator=generator) * size
    rows = (axis[:, None, None] - points[:, None, None, :, 0]) ** 2
    columns = (axis[None, :, None] - points[:, None, None, :, 1]) ** 2
    labels = (rows + columns).argmin(3)
    colours = torch.randint(0, 256, (B, N, 3), generator=generator).float()
    images = torch.stack([colour[label] for colour, label in zip(colours, labels, strict=True)]).permute(0, 3, 1, 2)
    images = images + 10 * torch.randn(images.shape, generator=generator)
    return images.clamp(0, 255).byte(), labels


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize(("N", "M"), [(3, 3), (5, 8), (20, 20), (20, 32), (20, 5), (7, 2)])
def test_one_hot_descriptors_reach_the_lowest_value(N, M, normalise):
    labels = torch.arange(N).repeat(1, 3, 1)
    corners = 60 * torch.nn.functional.one_hot(labels % M, M).permute(0, 3, 1, 2).double()
    value = cas_loss(corners, labels, normalise=normalise).item()
    lowest, highest = bounds(N, M, normalise=normalise)
    if M >= N:
        assert lowest == pytest.approx(-0.9 * N * (1 if normalise else N - 1))  # what the paper states, times N - 1
        assert value == pytest.approx(lowest, rel=1e-9)
    elif N % M == 0:  # every channel for equally many regions
        assert value == pytest.approx(lowest, rel=1e-9)
    assert lowest - 1e-9 <= value <= highest


@pytest.mark.parametrize("pairs", ["once", "ordered"])
@pytest.mark.parametrize("normalise", [False, True])
def test_nothing_leaves_the_bounds(pairs, normalise):
    generator = torch.Generator().manual_seed(0)
    for N, M, scale in ((20, 20, 1), (20, 20, 100), (20, 4, 30), (2, 6, 50), (1, 3, 40)):
        logits = scale * torch.randn(1, M, 12, 12, generator=generator)
        labels = torch.arange(144).view(1, 12, 12) % N
        lowest, highest = bounds(N, M, kappa=1 if pairs == "once" else 2, normalise=normalise)
        assert lowest - 1e-4 <= cas_loss(logits, labels, pairs=pairs, normalise=normalise) <= highest + 1e-4


def found(model, images, labels):
    """Share of the pixels whose descriptor lies nearest to the mean of their own region, over the images."""
    with torch.no_grad():
        e_BPM = model(images).flatten(2).transpose(1, 2)
    shares = []
    for e_PM, label_P in zip(e_BPM, labels.flatten(1), strict=True):
        means = torch.stack([e_PM[label_P == r].mean(0) for r in range(20)])
        shares.append((torch.cdist(e_PM, means).argmin(1) == label_P).float().mean())
    return torch.stack(shares).mean().item()


def train(loss, channels, *, steps, size=48):
    """A short training with Adam: loss and gradient norm at every step, `found` before and after."""
    torch.manual_seed(0)
    images, labels = composed(8, 20, size)
    assert all(len(mask.unique()) == 20 for mask in labels)
    model = unet_small(channels=channels)
    before = found(model, images, labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    values, norms = [], []
    for step in range(steps):
        torch.manual_seed(step)  # what the trainer does
        chosen = slice(4 * (step % 2), 4 * (step % 2) + 4)
        total = sum(loss(model(images[chosen]), {"mask": labels[chosen]}).values())
        optimizer.zero_grad()
        total.backward()
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]))
        optimizer.step()
        values.append(total.item())
    return torch.tensor(values), torch.stack(norms), (before, found(model, images, labels))


@pytest.mark.parametrize("normalise", [False, True])
def test_cas_trains_within_its_bounds_at_every_step(normalise):
    values, norms, _ = train(CAS(normalise=normalise), 20, steps=60)
    lowest, highest = bounds(20, 20, normalise=normalise)
    assert (values >= lowest - 1e-3).all()
    assert (values <= highest + 1e-3).all()
    assert norms.isfinite().all()
    assert values[-6:].mean() < lowest / 5 < values[0]


@pytest.mark.parametrize(
    ("loss", "share"),
    [
        (Magnet(), 0.3),
        (Magnet(subclusters=2, clusters=8), 0.4),
        (Triplet(), 0.75),
        (Triplet(negatives="all", regions=None, samples=8), 0.4),
        (Discriminative(), 0.4),
    ],
    ids=["magnet", "magnet of 8 clusters", "triplet", "triplet of all", "discriminative"],
)
def test_losses_on_embeddings_learn_from_region_maps(loss, share):
    values, norms, (before, after) = train(loss, 8, steps=30)
    assert values.isfinite().all()
    assert norms.isfinite().all()
    assert values[-6:].mean() < share * values[:2].mean()
    assert after > before
