"""Published weights: found on disk, downloaded, or a sentence that says which file to put where.

A network offers published weights under the names of `init.weights` (imagenet, coco). A file put into torch's hub
folder is used before anything is downloaded, so a machine without internet needs one copied file.

    load_pretrained(body, model="fcn_resnet101", encoder="backbone", weights="imagenet", published={"imagenet": ...})
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seglab.models.init import fit_state, read_state

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A published state dict.

    Attributes:
        address: where it is fetched.
        file: its name in torch's hub folder.
        digest: beginning of the file's SHA-256 in hexadecimal, checked after a download; None if not published.
    """

    address: str
    file: str
    digest: str | None = None

    def state(self) -> dict[str, Tensor]:
        """The named tensors, from torch's hub folder, into which the file is downloaded if it is not there yet.

        Raises:
            ValueError: if the file is not there and cannot be fetched, saying where to put it.
        """
        kept = Path(torch.hub.get_dir()) / "checkpoints" / self.file
        if not kept.is_file():
            try:
                kept.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(self.address, str(kept), self.digest, progress=False)
            except (OSError, HTTPException, RuntimeError) as error:  # no network, broken off, wrong digest
                raise ValueError(
                    f"cannot fetch {self.address} ({type(error).__name__}: {error}); put it at {kept}, "
                    "or set init.file to where it is, or train without it: init=scratch"
                ) from error
        return read_state(kept)


def torchvision_published(entry: Any) -> Published:
    """Weights of a member of a torchvision weights enumeration, such as ResNet101_Weights.IMAGENET1K_V1."""
    file = Path(entry.url).name
    return Published(entry.url, file, Path(file).stem.rpartition("-")[2])  # torchvision ends the name in the digest


def smp_published(encoder: str, name: str = "imagenet") -> Published:
    """Weights of an encoder of segmentation-models-pytorch, kept on the Hugging Face hub."""
    from segmentation_models_pytorch.encoders import encoders

    settings = encoders[encoder]["pretrained_settings"][name]
    address = f"https://huggingface.co/{settings['repo_id']}/resolve/{settings['revision']}/model.safetensors"
    return Published(address, f"smp-{encoder}-{name}.safetensors")


def load_pretrained(
    body: nn.Module,
    *,
    model: str,
    encoder: str,
    weights: str | None,
    weights_file: str | None,
    published: Mapping[str, Published],
    last_layer: str,
    frozen: bool = False,
    ignore: tuple[str, ...] = (),
) -> None:
    """Fills a body, or its encoder, with published weights or with a file; leaves it as it is if neither is asked for.

    A state dict whose keys begin with the encoder's name is one of the whole body (its last layer stays fresh if the
    number of classes differs); any other is one of the encoder alone.

    Args:
        body: network to fill.
        model: its name, for messages.
        encoder: name of the body's encoder.
        weights: key of `published`, or None (config key `init.weights`).
        weights_file: state dict to read in place of a download (config key `init.file`).
        published: the weights on offer.
        last_layer: name of the body's last layer.
        frozen: the encoder will not be trained; a random one is then worth a warning.
        ignore: beginnings of keys that published files hold beside what the body uses.

    Raises:
        ValueError: if the weights are not on offer, cannot be fetched or do not fit.
    """
    if weights is not None and weights not in published:
        offered = ", ".join(f"init={name}" for name in published) or "no published weights"
        raise ValueError(
            f"init.weights={weights!r}: {model} offers {offered}; otherwise choose init=scratch "
            "or a state dict of your own, init=scratch init.file=..."
        )
    if weights_file is not None:
        state, source = read_state(weights_file), f"init.file={weights_file}"
    elif weights is not None:
        state, source = published[weights].state(), f"init.weights={weights} ({published[weights].file})"
    else:
        if frozen:
            ways = ", ".join([*(f"init={name}" for name in published), "model.freeze_encoder=false"])
            log.warning(
                "%s: the encoder is frozen at random weights, unless init=run or a checkpoint fills it; choose %s",
                model,
                ways,
            )
        return
    if any(key.startswith(f"{encoder}.") for key in state):
        fit_state(body, state, source=source, ignore=ignore, last_layer=last_layer)
    else:
        fit_state(body.get_submodule(encoder), state, source=f"{source}, read as the encoder's weights", ignore=ignore)
    log.info("%s starts from %s", model, source)


def check_channels(channels: int) -> None:
    """Refuses a number of output channels below one.

    Raises:
        ValueError: naming `model.channels`.
    """
    if not isinstance(channels, int) or channels < 1:
        raise ValueError(f"model.channels={channels!r}: expected a whole number of 1 or more")
