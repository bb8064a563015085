"""The tables of a library's catalogue, as SQLite makes them.

``tracks`` are contents, ``files`` the places they lie at; ``spans`` say which rows of which row file belong to a track;
``blobs`` hold what is needed only of a few tracks at a time. ``plays``, ``likes`` and ``playlists`` are the listeners'.
"""

VERSION = 1

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tracks (
  track_id INTEGER PRIMARY KEY, content_hash TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  duration_seconds REAL NOT NULL, styles TEXT NOT NULL, qpm REAL, meter TEXT, key_tonic INTEGER, key_mode TEXT,
  valence REAL, arousal REAL, not_music TEXT NOT NULL, title TEXT NOT NULL, artist TEXT NOT NULL,
  album TEXT NOT NULL, year TEXT NOT NULL, rights TEXT NOT NULL, isrc TEXT NOT NULL
);
CREATE TABLE files (
  path TEXT PRIMARY KEY, track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE,
  size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_of_track ON files (track_id);
CREATE TABLE spans (
  space TEXT NOT NULL, first_row INTEGER NOT NULL, num_rows INTEGER NOT NULL,
  track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, PRIMARY KEY (space, first_row)
) WITHOUT ROWID;
CREATE INDEX spans_of_track ON spans (track_id);
CREATE TABLE blobs (
  track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, name TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (track_id, name)
);
CREATE TABLE skipped (
  path TEXT PRIMARY KEY, size_bytes INTEGER, modified_ns INTEGER, reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE plays (
  listener TEXT NOT NULL, track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, played_at REAL NOT NULL
);
CREATE INDEX plays_of_listener ON plays (listener, played_at);
CREATE TABLE likes (
  listener TEXT NOT NULL, track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE,
  PRIMARY KEY (listener, track_id)
) WITHOUT ROWID;
CREATE TABLE playlists (
  name TEXT NOT NULL, position INTEGER NOT NULL, track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE,
  PRIMARY KEY (name, position)
) WITHOUT ROWID;
"""

__all__ = ["TABLES", "VERSION"]
