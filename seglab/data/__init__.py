"""Data: sources (one per on-disk layout), the decoded cache, splits, label noise and batches."""
