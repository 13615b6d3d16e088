"""Counts the instructions of an inference on an emulated Arm CPU; ``benchmarks/arm.py`` is its command.

The package stands outside ``intbert``: a part of it (``on_board``) runs inside the emulated userland.
"""
