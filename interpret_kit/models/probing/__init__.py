"""What kind of network it is, and whether it can be asked about one image at a time."""
