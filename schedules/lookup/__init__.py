"""Table look-up for weights of few bits: a product of several weights with their activations is one entry of a table.

The activations of a group of inputs and every combination of their weights' values make a table. It is built once a row
and read by all output channels: of a weight matrix only indices into those tables are left. Shuffle instructions read
tables that lie in registers, many at once (the idea of T-MAC, Wei et al. 2024).
"""
