"""A model with its runtime in one folder of a board. All but :mod:`.texts` runs there."""
