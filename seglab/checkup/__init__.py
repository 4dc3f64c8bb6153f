"""What ``python -m seglab.doctor`` looks at, one file for each part of its page."""
