"""Regenerate published tables and figures: the same as ``python -m seglab.table``.

python scripts/tables.py table=all scale=smoke
"""

from __future__ import annotations

from seglab.table import main

if __name__ == "__main__":
    main()
