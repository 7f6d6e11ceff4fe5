"""Classifiers: networks, layers, hooks and weights."""
