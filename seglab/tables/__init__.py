"""Published tables: what they claim, which runs they need, what those runs say."""
