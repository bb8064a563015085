"""Renderers turn a Score into Audio: ``sampler`` (default), ``fluidsynth`` and ``additive``."""
