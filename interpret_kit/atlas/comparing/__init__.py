"""Two networks side by side: an atlas of each, and pages about what differs."""
