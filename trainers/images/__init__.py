"""The training, validation and test sets, and how they become batches."""
