"""Which files are music, by suffix: each suffix stands here once, in lower case and with its dot."""

from __future__ import annotations

MIDI_SUFFIXES = frozenset((".mid", ".midi", ".kar", ".rmi"))
NOTATION_SUFFIXES = frozenset((".musicxml", ".mxl", ".xml", ".abc", ".krn"))
SYMBOLIC_SUFFIXES = MIDI_SUFFIXES | NOTATION_SUFFIXES
FFMPEG_SUFFIXES = frozenset((".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka"))
"""Audio that libsndfile does not read: the ffmpeg program decodes it where it is installed."""
AUDIO_SUFFIXES = FFMPEG_SUFFIXES.union(
    (".wav", ".wave", ".flac", ".mp3", ".mp2", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc"),
    (".au", ".caf", ".w64", ".rf64"),
)
MUSIC_SUFFIXES = AUDIO_SUFFIXES | SYMBOLIC_SUFFIXES
