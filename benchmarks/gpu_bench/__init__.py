"""What ``make bench-gpu`` is made of."""
