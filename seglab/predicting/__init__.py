"""Maps of new photos: which files, through which network, written where."""
