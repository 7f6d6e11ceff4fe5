"""What kind of network it is, and whether its outputs for an image are independent of the batch."""
