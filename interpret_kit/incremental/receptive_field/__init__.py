"""Which pixels a cell of a feature map depends on."""
