"""Figures: piano roll, census of a folder, evidence of a classification."""
