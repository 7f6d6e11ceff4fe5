"""The exported network, and how it is run."""
