"""Figures of a training, which is not an analysis."""
