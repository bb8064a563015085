"""Music as tokens: vocabulary, the metrical grid, encoding, decoding and the grammar of what may follow what."""
