"""What the benchmarks' command lines share."""

import argparse
from collections.abc import Callable, Iterable


def numbers(text: str) -> list[int]:
    """``32,128`` -> [32, 128], positive."""
    values = [int(part) for part in text.split(",")]
    if min(values) < 1:
        raise ValueError(text)
    return values


def names_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """A parser of comma-separated names that are all known."""
    every = list(known)

    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in every]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(every)}")
        return chosen

    return names
