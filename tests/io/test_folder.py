"""Which files of a folder are taken for music."""

from __future__ import annotations

import os
from pathlib import Path

from melodygen.io.folder import music_files


def test_pipes_are_left_out_and_loops_end(tmp_path: Path) -> None:
    """Whoever opens a pipe waits for its other end; one in a folder once held a whole scan."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.mid").write_bytes(b"")
    (tmp_path / "sub" / "folder.mid").mkdir()
    (tmp_path / "sub" / "nowhere.mid").symlink_to(tmp_path / "gone")
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "sub" / "pipe.mid")
    (tmp_path / "sub" / "piped.mid").symlink_to(tmp_path / "sub" / "pipe.mid")
    found = music_files(tmp_path, recursive=True)
    assert [str(p.relative_to(tmp_path)) for p in found] == ["sub/a.mid", "sub/nowhere.mid"]
