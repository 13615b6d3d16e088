"""The table of accuracies: what it holds (a plan, as data), how a cell is made, and how it is written down."""
