"""Choosing among segmentation proposals: distances to a coarse network, features, a ranking SVM, and their scores."""
