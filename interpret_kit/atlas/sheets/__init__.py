"""The image files of an atlas: many tiles on each sheet."""
