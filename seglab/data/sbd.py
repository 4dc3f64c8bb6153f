"""A MATLAB file of the Semantic Boundaries Dataset: the class of every pixel of a photo.

The structure ``GTcls`` has ``Segmentation`` (0 background, 1 to 20 the classes of PASCAL VOC; nothing is ignored).
Source: Hariharan, Arbelaez, Bourdev, Maji, Malik, "Semantic contours from inverse detectors", ICCV 2011.

Legend: H W pixels. One runnable line: ``python -c "from seglab.data.sbd import read_sbd;
print(read_sbd('SBD/cls/2008_000002.mat').max())"``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seglab.data.files import read_labels
from seglab.data.mat import read_cells


def read_sbd(path: Path | str) -> np.ndarray:
    """The labels of a photo, uint8 [H,W].

    Raises:
        ValueError: no such file, no MATLAB file, a damaged or hostile one, or one without such labels.
    """
    try:
        inner = read_cells(Path(path), "GTcls")[1].ravel()
        if not len(inner) or "Segmentation" not in (inner.dtype.names or ()):
            raise ValueError("GTcls has no Segmentation")
        labels = np.asarray(inner[0]["Segmentation"])
        if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "uif":
            raise ValueError(f"the segmentation is {labels.dtype} of shape {labels.shape}")
        if not (np.isfinite(labels) & (labels == np.rint(labels)) & (labels >= 0) & (labels <= 255)).all():
            raise ValueError("the segmentation has values other than whole numbers from 0 to 255")
    except ValueError as error:
        raise ValueError(
            f"labels '{path}' cannot be used: {error}; expected a MATLAB file of SBD (cls/*.mat) with "
            "GTcls.Segmentation, the class of every pixel"
        ) from error
    return labels.astype(np.uint8)


def read_class_map(path: Path) -> np.ndarray:
    """The labels of a file, uint8 [H,W]: of SBD where it ends in ``.mat``, else palette indices or grey values.

    Raises:
        ValueError: the file cannot be read.
    """
    return read_sbd(path) if path.suffix.lower() == ".mat" else read_labels(path)
