"""What a config may compute from its other values: ``${count:data.classes}``, how many entries a list has.

It is registered when :mod:`seglab.config` is imported, that is, before any config is read.
One runnable line: ``python -c "import seglab.config; from omegaconf import OmegaConf;
print(OmegaConf.create({'a': [1, 2], 'n': '${count:a}'}).n)"``.
"""

from __future__ import annotations

from omegaconf import DictConfig, ListConfig, OmegaConf


def count(path: str, _root_: DictConfig) -> int:
    """Number of entries of the list at a path of the config.

    Raises:
        ValueError: there is no list.
    """
    found = OmegaConf.select(_root_, path)
    if not isinstance(found, ListConfig):
        name = OmegaConf.select(_root_, "data.name")
        raise ValueError(f"{path}={found}: expected a list; data={name} has none, choose a data set of classes")
    return len(found)


OmegaConf.register_new_resolver("count", count, replace=True)
