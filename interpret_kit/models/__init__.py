"""What a classifier is: its network, layers, hooks and weights."""
