"""The float operators of mixed int8/float models: one operator a file, with its oracle, kernel and bounds.

They give the same bytes on every target, as the integer operators do; docs/float-operators.md states how.
"""
