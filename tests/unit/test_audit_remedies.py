"""Remedies that an audit names are those the data set has."""

from __future__ import annotations

from PIL import Image

from seglab.audit.audit import audit
from seglab.audit.listing import from_listing
from seglab.audit.subject import from_pairs
from seglab.data.pairs import Pairs


def test_unmasked_skip_is_named_where_it_is_a_setting(tmp_path):
    for name in ("img/a", "img/b", "msk/a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")
    parts = {"train": {"images": f"{tmp_path}/img/*.png", "masks": f"{tmp_path}/msk/*.png"}}
    listed = from_listing({"name": "x", "mask": "labels", "parts": parts}, root=tmp_path)
    paired = from_pairs(Pairs(f"{tmp_path}/img", masks=f"{tmp_path}/msk", split="train"), root=tmp_path)
    remedies = [audit(one, progress=False).of("no-mask")[0].remedy for one in (listed, paired)]
    assert remedies == [
        "add the mask or remove the image",
        "add the mask or remove the image (or data.source.unmasked=skip)",
    ]
