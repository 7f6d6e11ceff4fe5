"""What is recorded of each image, in memory or on the disk."""
