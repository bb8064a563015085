"""Where a library lies: a folder, or a PostgreSQL database by its address."""

from __future__ import annotations

import os
from pathlib import Path

from melodygen.library.postgres import SCHEMES
from melodygen.library.store import LibraryStore

ENVIRONMENT = "MELODYGEN_LIBRARY"
Address = str | os.PathLike[str]


def default_folder() -> Path:
    """``$MELODYGEN_LIBRARY`` where it names a folder, else ``melodygen/library`` in the user's data folder."""
    named = os.environ.get(ENVIRONMENT)
    if named and not is_server(named):
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_data_path("melodygen") / "library"


def default_address() -> Address:
    """``$MELODYGEN_LIBRARY``, a folder or an address, else the default folder."""
    named = os.environ.get(ENVIRONMENT)
    return named if named and is_server(named) else default_folder()


def is_server(address: Address) -> bool:
    """Whether it is ``postgresql://…`` and not a folder."""
    return isinstance(address, str) and address.startswith(SCHEMES)


def open_store(address: Address, create: bool = False) -> LibraryStore:
    """Raises LibraryError when there is no library and ``create`` is false, or the server cannot be reached."""
    if is_server(address):
        from melodygen.library.server import ServerStore

        return ServerStore(str(address), create)
    from melodygen.library.folder import FolderStore

    return FolderStore(Path(address).expanduser(), create)


__all__ = ["ENVIRONMENT", "Address", "default_address", "default_folder", "is_server", "open_store"]
