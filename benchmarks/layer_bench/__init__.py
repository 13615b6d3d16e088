"""Measures one encoder layer beside other runtimes; ``benchmarks/layers.py`` is its command.

A layer by itself cannot be compiled, and the embedding and the output must not be measured: each runtime gets a model
of one layer and one of three, and half of the difference is a layer.
"""
