"""The region losses as one writes them down, with autograd: what `bench_losses.py` measures against.

Each takes logits or embeddings [B, M, H, W] and label maps [B, H, W] and gives the mean over the images. Loops run over
images and regions; inside a region everything is done on tensors.

    python -c "import sys; sys.path.insert(0, 'scripts'); import torch, naive_losses as n;
               print(n.discriminative(torch.randn(1, 8, 4, 4), torch.eye(4).long()[None]))"
"""

import torch


def two_region_cas(logits, labels, alpha=0.1):
    """Masked autograd for masks of 0 and 1: softmax, products with both masks, means, squared differences."""
    s = logits.softmax(1)
    foreground = labels[:, None].to(s.dtype)
    background = 1 - foreground
    loss = 0.0
    means = []
    for mask in (foreground, background):
        size = mask.sum((2, 3))
        mean = (s * mask).sum((2, 3)) / size
        means.append(mean)
        loss = loss + alpha * (((s - mean[..., None, None]) ** 2 * mask).sum((2, 3)) / size).sum(1)
    return (loss - (1 - alpha) * ((means[0] - means[1]) ** 2).sum(1)).mean()


def cas(logits, labels, alpha=0.1):
    """CAS by autograd over a loop of region masks."""
    s = logits.softmax(1)
    total = 0.0
    for image, mask in zip(s, labels, strict=True):
        means = []
        for region in mask.unique():
            inside = (mask == region).to(s.dtype)
            size = inside.sum()
            mean = (image * inside).sum((1, 2)) / size
            means.append(mean)
            total = total + alpha * ((image - mean[:, None, None]) ** 2 * inside).sum() / size
        table = torch.stack(means)
        pairs = (table[:, None] - table[None]).square().sum() / 2
        total = total - (1 - alpha) * pairs
    return total / len(s)


def discriminative(e, labels, delta_v=0.5, delta_d=1.5, gamma=0.001):
    """De Brabandere et al. 2017: one boolean mask a region."""
    total = 0.0
    for image, mask in zip(e, labels, strict=True):
        means, pull = [], 0.0
        for region in mask.unique():
            pixels = image[:, mask == region]
            mean = pixels.mean(1)
            means.append(mean)
            pull = pull + ((pixels - mean[:, None]).norm(dim=0) - delta_v).clamp(min=0).square().mean()
        C = len(means)
        push = 0.0
        for i in range(C):
            for j in range(C):
                if i != j:
                    push = push + (2 * delta_d - (means[i] - means[j]).norm()).clamp(min=0).square()
        norms = torch.stack(means).norm(dim=1).mean()
        total = total + pull / C + push / max(1, C * (C - 1)) + gamma * norms
    return total / len(e)


def _draw(image, mask, samples):
    """Pixels drawn of each region of one image: a list of [samples, M]."""
    drawn = []
    for region in mask.unique():
        rows, columns = torch.where(mask == region)
        some = torch.randint(len(rows), (samples,))
        drawn.append(image[:, rows[some], columns[some]].T)
    return drawn


def magnet(e, labels, alpha=1.0, samples=16):
    """Rippel et al. 2016, one cluster a region: a loop over clusters and their impostors."""
    total = 0.0
    for image, mask in zip(e, labels, strict=True):
        drawn = _draw(image, mask, samples)
        means = [pixels.mean(0) for pixels in drawn]
        own = [(pixels - mean).square().sum(1) for pixels, mean in zip(drawn, means, strict=True)]
        variance = torch.cat(own).sum() / (len(drawn) * samples - 1)
        for i, pixels in enumerate(drawn):
            away = [torch.exp(-(pixels - m).square().sum(1) / (2 * variance)) for j, m in enumerate(means) if j != i]
            near = torch.exp(-own[i] / (2 * variance) - alpha)
            total = total + (-torch.log(near / sum(away))).clamp(min=0).mean() / len(drawn)
    return total / len(e)


def triplet(e, labels, margin=0.2, samples=16):
    """Schroff et al. 2015, semi-hard negatives: a loop over regions and anchors."""
    total = 0.0
    for image, mask in zip(e, labels, strict=True):
        drawn = [torch.nn.functional.normalize(pixels, dim=1) for pixels in _draw(image, mask, samples)]
        costs = []
        for i, pixels in enumerate(drawn):
            others = torch.cat([p for j, p in enumerate(drawn) if j != i])
            for anchor in pixels:
                near = (pixels - anchor).square().sum(1)
                far = (others - anchor).square().sum(1)
                beyond = torch.where(far > near[:, None], far, torch.inf).amin(1)
                negative = torch.where(beyond.isfinite(), beyond, far.amax())
                costs.append((near - negative + margin).clamp(min=0).mean())
        total = total + sum(costs) / len(costs)
    return total / len(e)
