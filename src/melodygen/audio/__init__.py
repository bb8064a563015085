"""Sound in memory and in files: buffers, features, decoding, loudness and synthetic noises."""
