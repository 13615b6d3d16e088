"""The one error of the accuracy table."""


class TableError(Exception):
    """The table cannot be made: the message says what is wrong and what to do, in one line."""
