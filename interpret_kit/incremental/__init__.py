"""Computes only what a window or an ablated filter changes, with a full forward pass's numbers."""
