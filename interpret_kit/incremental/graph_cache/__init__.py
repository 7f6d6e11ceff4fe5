"""Graphs that need not be traced again: kept in the cache, or shipped."""
