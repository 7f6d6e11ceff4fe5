"""Sweeps: the study that describes one, and its result."""
