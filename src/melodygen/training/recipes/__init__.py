"""Recipes: each shipped model as a TOML file, and what builds it from the corpus."""
