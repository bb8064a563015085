"""Renderers turn a Score into Audio: ``sampler`` (default), ``fluidsynth``, ``additive``."""
