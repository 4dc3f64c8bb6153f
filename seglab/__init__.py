"""seglab: experiments on segmentation with masks you cannot trust."""

__version__ = "0.1.0"
