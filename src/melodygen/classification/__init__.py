"""Classification of existing tracks: decode or render, score with the CNN, report style or "not music"."""
