"""Patches of images: the receptive fields of units, and tables of the strongest ones."""
