"""Measures this project and other runtimes side by side; ``benchmarks/peers.py`` is its command.

The package stands outside ``intbert``: a part of it (``workers``, ``prepare``) runs in the peers' own venv.
"""
