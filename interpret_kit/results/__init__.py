"""What comes out of an analysis, and how it is kept."""
