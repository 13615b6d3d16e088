"""intbert: integer BERT models, compiled with Apache TVM for the edge."""

__version__ = "0.1.0"
