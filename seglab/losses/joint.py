"""Sums and means over the images of a batch whose parts lie in several processes.

A term such as the volume loss (Veksler 2020, Eq. 4) squares a mean over the whole batch, and the numbers of positive
and negative images differ between the parts. Each process therefore needs the batch's sums, and a gradient that turns
into that of the whole batch by the mean over processes, which DistributedDataParallel takes: with W processes and this
process's sum s, the value is S, the sum of all s, and the gradient is that of W * s.

    python -c "import torch; from seglab.losses.joint import joint_mean; print(joint_mean(torch.eye(2), torch.ones(2)))"

Every process must make the same calls in the same order, whatever its images are.

Legend: B images of this process, R quantities.
"""

import torch
import torch.distributed as dist
from torch import Tensor

from seglab.distributed import sum_


def joint_sum(part: Tensor) -> Tensor:
    """Sum over the processes, see above; the tensor itself in a single process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return part
    return with_gradient_of(part, total=sum_(part.detach().clone()))


def with_gradient_of(part: Tensor, *, total: Tensor, pieces: int = 1) -> Tensor:
    """The total, with the gradient that a part of it needs for that of the whole batch to come out as a mean.

    Args:
        part: this process's sum, or that of one piece of its images.
        total: sum of the parts, without a graph.
        pieces: that each process has; the gradient is a mean over them and over the processes.
    """
    share = (dist.get_world_size() if dist.is_initialized() else 1) * pieces * part
    return total + (share - share.detach())


def joint_mean(values_RB: Tensor, use_B: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the images in use, of all processes.

    Args:
        values_RB: one value for each image, or R of them.
        use_B: 1 for an image in use, 0 for others, in the type of the values.

    Returns:
        R means, 0 (with a graph) where no image is in use; and how many images are, a scalar without a graph.
    """
    sums_R = (values_RB * use_B).sum(-1).reshape(-1)
    joined = joint_sum(torch.cat([sums_R, use_B.sum().reshape(1)]))
    count = joined[-1].detach()
    return (joined[:-1] / count.clamp(min=1)).reshape(values_RB.shape[:-1]), count
