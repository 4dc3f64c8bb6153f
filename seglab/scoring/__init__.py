"""What ``python -m seglab.score`` does: folders to pairs, pairs to numbers in processes, numbers to tables."""
