"""Incremental occlusion."""
