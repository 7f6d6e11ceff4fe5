"""Which images are analysed, and how they are read."""
