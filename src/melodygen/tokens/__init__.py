"""Music as tokens: the vocabulary, the metrical grid, encoding, decoding and the grammar."""
