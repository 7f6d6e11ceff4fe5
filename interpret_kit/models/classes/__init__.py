"""What the classes are called."""
