"""A collection of music that can be asked: what sounds alike, what to hear next, which tune this is, what is shared.

Described files come in (``track.Description``), matches and ranked tracks come out; who describes them is the caller's
choice (``services.describing``). One folder on disk: ``store``.
"""
