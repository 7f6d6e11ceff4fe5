"""How a file becomes RGB pixels."""
