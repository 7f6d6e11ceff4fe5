"""Two classifiers, or one before and after an ablation, on the same images."""
