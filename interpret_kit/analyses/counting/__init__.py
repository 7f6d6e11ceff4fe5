"""Counts and sums over a stream of images, and the tables made of them."""
