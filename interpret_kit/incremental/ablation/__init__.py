"""Incremental filter ablation."""
