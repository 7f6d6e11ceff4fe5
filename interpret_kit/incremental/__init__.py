"""Computes only what a window or an ablated filter changes, with a full forward pass's numbers.

docs/engine.md explains it on one page: what is computed when, why that is exact, what is checked.
"""
