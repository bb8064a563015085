"""Tunes a generator towards a style by preference among its own candidates."""
