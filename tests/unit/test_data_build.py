"""What is said of training data before a training: regions that the network has no channels for."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from omegaconf import OmegaConf

from seglab.data.arrays import ArrayDataset
from seglab.data.build import tell_regions


def masks(*regions: int) -> ArrayDataset:
    """Images with so many regions and an ignored pixel each."""
    planes = np.stack([np.arange(64).reshape(8, 8) % n for n in regions]).astype(np.uint8)
    planes[:, 0, 0] = 255
    names = [f"i{n}" for n in range(len(regions))]
    return ArrayDataset(np.zeros((len(regions), 3, 8, 8), np.uint8), planes, names, names)


def config(channels: int | None, *, softmax: bool | None = True):
    evaluation = {} if softmax is None else {"descriptor": {"softmax": softmax}}
    return OmegaConf.create({"data": {"name": "toy"}, "eval": evaluation, "model": {"channels": channels}})


@pytest.mark.parametrize(
    ("channels", "regions", "level", "words"),
    [
        (2, (2, 3, 5), "WARNING", "2 of 3 training masks have more regions (up to 5) than model.channels=2"),
        (
            2,
            (2, 30),
            "WARNING",
            "; eval=regions has 20 channels and clusters, model.channels and eval.clusters set other numbers",
        ),
        (20, (20, 50), "INFO", "1 of 2 training masks have more regions (up to 50) than model.channels=20"),
    ],
)
def test_more_regions_than_channels_are_one_line(channels, regions, level, words, caplog):
    caplog.set_level(logging.INFO)
    tell_regions(config(channels), masks(*regions))
    (line,) = caplog.records
    assert line.levelname == level
    assert words in line.getMessage()


def test_nothing_is_said_where_channels_are_enough_or_mean_something_else(caplog):
    caplog.set_level(logging.INFO)
    for cfg in (config(5), config(2, softmax=False), config(2, softmax=None), config(None)):
        tell_regions(cfg, masks(2, 5))
    assert not caplog.records
