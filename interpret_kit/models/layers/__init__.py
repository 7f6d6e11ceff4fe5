"""The layers of a network: where they are, their names, and the hooks that read and write them."""
