"""Training of the style classifier."""
