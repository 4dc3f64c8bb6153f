"""Losses: one file per published loss, each a function with its equation number and a thin module."""
