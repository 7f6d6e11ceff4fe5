"""The same attributions in Captum's own form."""
