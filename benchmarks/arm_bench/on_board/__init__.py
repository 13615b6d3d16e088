"""What runs on the virtual board, with NumPy and one runtime only."""
