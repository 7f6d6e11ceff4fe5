"""What is known of each operation: one entry for each, in one file for each kind.

To add an operation, add an `Operation` to `OPERATIONS` of its kind's file and its arguments to
tests/support/drawn_operations.py; every part of the engine reads it from `registry`, and a test
compares it with the full forward pass.
"""
