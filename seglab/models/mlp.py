"""A fully connected network applied to every pixel: two 1 x 1 convolutions (toy of the CAS supplement, section B.2).

    mlp(channels=2)(torch.zeros(1, 2, 1, 10010)).shape      # [1, 2, 1, 10010]

Shapes: B batch, C inputs, M output channels, H W pixels; of a set of points H is 1 and W the number of points.
"""

from __future__ import annotations

from torch import Tensor, nn

from seglab.models.pretrained import check_channels, load_pretrained

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """Inputs to hidden units to logits, pixel by pixel; the input is taken as it is, not standardised.

    Args:
        channels: outputs per pixel, M.
        inputs: channels of the input, C.
        hidden: hidden units.
        activation: name in `ACTIVATIONS`.

    Shape:
        image_BCHW: any number type; the result is float32 [B, M, H, W].
    """

    def __init__(self, channels: int, *, inputs: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.inputs = inputs
        self.hidden = nn.Conv2d(inputs, hidden, 1)
        self.activation = ACTIVATIONS[activation]()
        self.head = nn.Conv2d(hidden, channels, 1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits of each pixel."""
        return self.head(self.activation(self.hidden(image_BCHW.float()))).float()


def mlp(
    channels: int = 2,
    *,
    inputs: int = 2,
    hidden: int = 10,
    activation: str = "relu",
    weights: str | None = None,
    weights_file: str | None = None,
) -> MLP:
    """Builds the network; there are no published weights for it.

    Args:
        channels: outputs per pixel, M.
        inputs: channels of the input; for points, their coordinates.
        hidden: hidden units (CAS supplement, section B.2: 10).
        activation: relu or tanh (not printed).
        weights: None.
        weights_file: state dict to start from.

    Raises:
        ValueError: a value outside its range, weights, which are not on offer, or a file that does not fit.

    Source: CAS supplement, section B.2.
    """
    check_channels(channels)
    for key, value in (("inputs", inputs), ("hidden", hidden)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"model.{key}={value!r}: expected a whole number of 1 or more")
    if activation not in ACTIVATIONS:
        raise ValueError(f"model.activation={activation!r}: expected one of {', '.join(ACTIVATIONS)}")
    network = MLP(channels, inputs=inputs, hidden=hidden, activation=activation)
    load_pretrained(
        network,
        model="mlp",
        encoder="hidden",
        weights=weights,
        weights_file=weights_file,
        published={},
        last_layer="head",
    )
    return network
