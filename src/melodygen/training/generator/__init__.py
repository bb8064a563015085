"""Training of the generator: from a folder of music to a checkpoint."""
