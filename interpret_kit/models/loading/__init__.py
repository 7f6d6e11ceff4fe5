"""Where a classifier comes from: a run, a timm name, a folder, a checkpoint."""
