"""The tables of a library's catalogue. ``$SERIAL``, ``$BLOB`` and ``$LEAN`` stand for each database's own words.

``tracks`` are contents, ``files`` the places they lie at; ``blobs`` hold what is needed only of a few tracks at a time.
``plays``, ``likes`` and ``playlists`` are the listeners'. The rows that questions scan have tables of their own in each
store: ``FOLDER_TABLES`` say which rows of which row file belong to a track, ``SERVER_TABLES`` hold the rows themselves
and the queue of files that wait for a worker.
"""

from collections.abc import Iterator, Mapping
from string import Template

VERSION = 1

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) $LEAN;
CREATE TABLE tracks (
  track_id $SERIAL, content_hash TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  duration_seconds DOUBLE PRECISION NOT NULL, styles TEXT NOT NULL, qpm DOUBLE PRECISION, meter TEXT,
  key_tonic INTEGER, key_mode TEXT, valence DOUBLE PRECISION, arousal DOUBLE PRECISION, not_music TEXT NOT NULL,
  title TEXT NOT NULL, artist TEXT NOT NULL, album TEXT NOT NULL, year TEXT NOT NULL, rights TEXT NOT NULL,
  isrc TEXT NOT NULL
);
CREATE TABLE files (
  path TEXT PRIMARY KEY, track_id BIGINT NOT NULL REFERENCES tracks ON DELETE CASCADE,
  size_bytes BIGINT NOT NULL, modified_ns BIGINT NOT NULL
) $LEAN;
CREATE INDEX files_of_track ON files (track_id);
CREATE TABLE blobs (
  track_id BIGINT NOT NULL REFERENCES tracks ON DELETE CASCADE, name TEXT NOT NULL, data $BLOB NOT NULL,
  PRIMARY KEY (track_id, name)
);
CREATE TABLE skipped (path TEXT PRIMARY KEY, size_bytes BIGINT, modified_ns BIGINT, reason TEXT NOT NULL) $LEAN;
CREATE TABLE plays (
  listener TEXT NOT NULL, track_id BIGINT NOT NULL REFERENCES tracks ON DELETE CASCADE,
  played_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX plays_of_listener ON plays (listener, played_at);
CREATE TABLE likes (
  listener TEXT NOT NULL, track_id BIGINT NOT NULL REFERENCES tracks ON DELETE CASCADE,
  PRIMARY KEY (listener, track_id)
) $LEAN;
CREATE TABLE playlists (
  name TEXT NOT NULL, position INTEGER NOT NULL, track_id BIGINT NOT NULL REFERENCES tracks ON DELETE CASCADE,
  PRIMARY KEY (name, position)
) $LEAN;
"""

FOLDER_TABLES = """
CREATE TABLE spans (
  space TEXT NOT NULL, first_row BIGINT NOT NULL, num_rows INTEGER NOT NULL,
  track_id BIGINT NOT NULL REFERENCES tracks ON DELETE CASCADE, PRIMARY KEY (space, first_row)
) $LEAN;
CREATE INDEX spans_of_track ON spans (track_id);
"""

SERVER_TABLES = """
CREATE TABLE spans (
  span_id $SERIAL, space TEXT NOT NULL, num_rows INTEGER NOT NULL,
  track_id BIGINT NOT NULL REFERENCES tracks ON DELETE CASCADE, data $BLOB NOT NULL
);
CREATE INDEX spans_of_track ON spans (track_id);
CREATE INDEX spans_of_space ON spans (space, span_id);
CREATE TABLE vectors (
  span_id $SERIAL, space TEXT NOT NULL, track_id BIGINT NOT NULL REFERENCES tracks ON DELETE CASCADE,
  vector halfvec NOT NULL, UNIQUE (space, track_id)
);
CREATE INDEX vectors_of_track ON vectors (track_id);
CREATE TABLE jobs (job_id $SERIAL, content_hash TEXT NOT NULL UNIQUE);
CREATE TABLE job_files (
  path TEXT PRIMARY KEY, content_hash TEXT NOT NULL REFERENCES jobs (content_hash) ON DELETE CASCADE,
  size_bytes BIGINT NOT NULL, modified_ns BIGINT NOT NULL
);
CREATE INDEX files_of_job ON job_files (content_hash);
CREATE TABLE attempts (content_hash TEXT PRIMARY KEY, count INTEGER NOT NULL);
"""


def statements(tables: str, types: Mapping[str, str]) -> Iterator[str]:
    """One by one, in a database's own words."""
    for statement in Template(tables).substitute(types).split(";"):
        if statement.strip():
            yield statement


__all__ = ["FOLDER_TABLES", "SERVER_TABLES", "TABLES", "VERSION", "statements"]
