"""Styles as data: what the user can name, and the defaults of each."""
