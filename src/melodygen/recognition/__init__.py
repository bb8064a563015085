"""Existing tracks: decode, render, hear, say what style they are in, or that they are not music."""
