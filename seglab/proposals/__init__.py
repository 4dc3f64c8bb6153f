"""Diverse segmentations of whole images by a graphical model on superpixels, and how they are kept."""

from __future__ import annotations


def complete(arguments: list[str]) -> list[str]:
    """The command line of ``python -m seglab.proposals`` as Hydra has to get it.

    Args:
        arguments: e.g. ``["data=camvid_semantic", "proposals=maps/mine"]``.

    Raises:
        ValueError: the data set is missing.
    """
    if not any(argument.startswith("data=") or argument in ("--cfg", "-c") for argument in arguments):
        raise ValueError("data is missing: python -m seglab.proposals data=<data set of classes, e.g. voc_aug>")
    return arguments
