"""Which images a network learns from, and how they become batches."""
