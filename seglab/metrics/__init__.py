"""Metrics: plain functions on one image, and states that gather them over a test set and over processes."""
