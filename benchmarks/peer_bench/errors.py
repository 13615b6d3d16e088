"""The one error of the benchmark."""


class BenchmarkError(Exception):
    """The benchmark cannot run: the message says what is wrong and what to do, in one line."""
