"""What is in a file of weights, and how it fits a network."""
