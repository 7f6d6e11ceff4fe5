"""A folder of linked pages about a network, its filters, classes and images, to open from disk."""
