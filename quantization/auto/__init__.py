"""``auto``: searches methods and the bits of every part of a model for the smallest, or the fastest, that is good."""
