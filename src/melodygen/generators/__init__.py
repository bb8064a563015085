"""Generators: what writes music."""
