"""Diverse segmentations of whole images by a graphical model on superpixels, and how they are kept."""
