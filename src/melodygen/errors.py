"""Every error melodygen raises on purpose.

A message carries the value that was refused, the limit it broke and the way out. The CLI turns any
``MelodygenError`` into one line on stderr and its ``exit_code``.
"""

from __future__ import annotations


class MelodygenError(Exception):
    """Something went wrong that the user can understand and act on."""

    exit_code = 1


class UsageError(MelodygenError):
    """The request itself is wrong: an unknown style, 0 bars, a meter of 7/3."""

    exit_code = 2


class MidiReadError(MelodygenError):
    """A MIDI file cannot be read as music."""


class ScoreError(MelodygenError):
    """A Score, Track or Note that breaks its own rules."""


class TokenError(MelodygenError):
    """A token sequence that the grammar or another vocabulary does not allow."""


class AudioError(MelodygenError):
    """Audio that cannot be read, written or is not finite."""


class RenderError(MelodygenError):
    """A renderer or soundfont that cannot do its work."""


class CheckpointError(MelodygenError):
    """A checkpoint folder that is missing, broken, foreign or of another version."""


class ClassifierError(MelodygenError):
    """A classifier that cannot judge what it was given."""


class OutputExistsError(MelodygenError):
    """A file is already there and ``--force`` was not given."""


class DiskSpaceError(MelodygenError):
    """There is too little space for what is to be written."""


class NoPieceError(MelodygenError):
    """No candidate of a piece can be written; another seed may give one."""


class StyleNotReachedError(NoPieceError):
    """``--strict`` was asked for and no candidate reached the threshold."""


class PluginError(MelodygenError):
    """A plug-in is unknown, or known and cannot be loaded."""


class StyleError(MelodygenError):
    """A style file that cannot be read, or that says something impossible."""


class RecipeError(MelodygenError):
    """A recipe that is not known, cannot be read, or lacks something it needs."""


class CorpusError(MelodygenError):
    """A folder of music holds nothing that can be used."""


class PortError(MelodygenError):
    """A MIDI port that does not exist, is busy, or a backend that is not installed."""


class LibraryError(MelodygenError):
    """A library that is missing, empty, locked or of another model, or a question it cannot answer."""


def reason_of(error: Exception, name: str = "") -> str:
    """Why a file could not be used, in one line without the file's name: for reports that name it themselves.

    Every kind of failure becomes a line, because nothing that one file holds may stop the others.
    """
    if isinstance(error, MelodygenError):
        reason = str(error)
    elif isinstance(error, MemoryError):
        reason = "out of memory"
    elif isinstance(error, OSError):
        reason = error.strerror or str(error)
    else:
        reason = f"cannot be read ({type(error).__name__}: {error})"
    return " ".join(reason.split()).removeprefix(f"{name}: ").removeprefix(f"{name} ")
