"""Pictures of ``outputs/figures`` inside the page: smaller, as WebP, on a white card, with words beside them.

One runnable line: ``python -c "from pathlib import Path; from seglab.report.page.pictures import data_uri;
print(data_uri(Path("a.png"))[1])"``.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from seglab.report.page.curves import scale_words
from seglab.report.page.figure import Figure, figure_id
from seglab.report.page.svgtext import escaped
from seglab.tables.values import TableValues

if TYPE_CHECKING:
    from PIL import Image

SIZES = ((1400, 80), (1000, 76), (700, 70))
"""Width in pixels and quality, tried one after the other until the page is small enough."""
SHOWN = {
    "sparse_outputs": ("sparse_outputs", "rows of image, mask and every softmax channel of a network"),
    "annealing_strip": ("annealing", "object probability and edge weights of test images at epochs of the annealing"),
    "annealing_curve": ("annealing", "curves of the score of held-out images and of the loss over the epochs"),
    "training_curve": ("training", "curves of the CAS loss over the epochs between its bounds"),
    "loss_profile": ("loss_profile", "surfaces of the CAS loss over the mean outputs of two regions"),
    "iou_flips": ("iou_uoi", "curves of IOU and UOI against flipped pixels, and the label map"),
    "lines": ("other", "curves of the table's numbers"),
    "noise_samples": ("samples", "training images with their masks before and after the noise"),
    "object_grid": ("samples", "test images with their masks and what networks take for the object"),
    "region_maps": ("samples", "test images with their annotations and the regions that networks find"),
    "rerank_grid": ("samples", "photos with their proposals, the chosen ones framed"),
    "imbalance": ("samples", "test images with small or scattered objects and the maps of networks"),
    "sparsity": ("other", "distributions of the softmax outputs of networks"),
    "toy_scatter": ("other", "points of a toy data set and the descriptors that losses give them"),
    "loss_scatter": ("other", "points, loss against score, of networks during training"),
    "rerank_curve": ("other", "curves of the score against training iterations"),
    "oracle": ("other", "curves of the score against the number of proposals"),
}
"""Name of the function that drew a picture -> kind of figure, and what is seen in it."""


@dataclass(frozen=True)
class Placed:
    """A figure that is a picture, which may still be made smaller.

    Attributes:
        file: the picture.
        figure: without its markup.
        alt: what is seen, in words.
        size: place in :data:`SIZES`.
    """

    file: Path
    figure: Figure
    alt: str
    size: int = 0

    @property
    def smaller(self) -> Placed | None:
        """The same with less pixels; None where it is as small as may be."""
        return replace(self, size=self.size + 1) if self.size + 1 < len(SIZES) else None

    def drawn(self) -> Figure:
        """The figure with its picture inside.

        Raises:
            ValueError: the file is no picture.
        """
        width, quality = SIZES[self.size]
        uri, shape = data_uri(self.file, width=width, quality=quality)
        return replace(self.figure, html=card(uri, self.alt, shape))


def placed(file: Path, stem: str, values: TableValues, node: Mapping[str, Any], *, also: bool = False) -> Placed:
    """The picture of a table's figure.

    Args:
        file: PNG.
        stem: of the table, with its scale.
        values: of the table.
        node: of the table's YAML.
        also: whether the figure is on the page as a drawing, too.
    """
    function = str(node.get("_target_", "")).rpartition(".")[2]
    kind, seen = SHOWN.get(function, ("other", "a picture"))
    rows = dict.fromkeys(info.row for info in values.runs)
    of = f" Rows: {', '.join(rows)}." if rows else ""
    title = values.spec.title
    figure = Figure(
        id=figure_id(stem, str(node["name"]), "picture" if also else ""),
        title=f"{title}: picture" if also else title,
        caption=f"{seen[0].upper()}{seen[1:]}.{of} {scale_words(values)}",
        html="",
        kind=kind,
        table=stem,
    )
    return Placed(file, figure, f"{title}: {seen}, scale {values.scale}")


def card(uri: str, alt: str, shape: tuple[int, int]) -> str:
    """A picture on white, as it was painted for paper; it scales with its place.

    Args:
        uri: data URI.
        alt: what is seen, in words.
        shape: width and height in pixels, so that the page does not jump.
    """
    return (
        f'<img class="card" src="{uri}" alt="{escaped(alt)}" width="{shape[0]}" height="{shape[1]}" loading="lazy" '
        'style="display:block;max-width:100%;height:auto;background:white;border-radius:6px">'
    )


def data_uri(file: Path | BinaryIO, *, width: int = 1400, quality: int = 80) -> tuple[str, tuple[int, int]]:
    """A picture as WebP inside a URI, and its width and height in pixels.

    Args:
        file: any picture that Pillow reads.
        width: pixels at the most.
        quality: of WebP, 0..100.

    Raises:
        ValueError: it is no picture, or a damaged one.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        name = getattr(file, "name", "picture")
        raise ValueError(f"{name}: no picture, or a damaged one ({type(error).__name__})") from error
    if picture.width > width:
        picture = picture.resize(
            (width, max(1, round(picture.height * width / picture.width))), Image.Resampling.LANCZOS
        )
    return encoded(picture, quality=quality), picture.size


def encoded(picture: Image.Image, *, quality: int) -> str:
    """A picture as WebP inside a URI."""
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=quality, method=2)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
