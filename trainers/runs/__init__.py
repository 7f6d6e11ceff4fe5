"""The folder of a training run: written whole, resumed, locked."""
