"""Fetching published data sets: recipes, resumable downloads, safe unpacking."""
