"""Which images lie in a folder, and what their labels are."""
