"""What all routes share: settings, stores, runners, the library, the session that plays."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melodygen.errors import UsageError
from melodygen.library.address import Address, default_address, is_server
from melodygen.library.store import CATALOG
from melodygen.server.guard import LOOPBACK
from melodygen.server.jobs import ENDED, Job, JobStore
from melodygen.server.performer import Performer
from melodygen.server.runner import Runner
from melodygen.server.uploads import UploadStore
from melodygen.server.worker import KINDS
from melodygen.services.models import ModelNames

if TYPE_CHECKING:
    from melodygen.services.library import Library

PRUNE_SECONDS = 600.0


@dataclass(frozen=True)
class ServerSettings:
    """How a server is run.

    ``data``              folder of jobs, uploads and results.
    ``hosts``             names under which it may be asked for, without port.
    ``token``             what ``/v1`` needs in its Authorization header; None where only this machine can ask.
    ``max_upload_bytes``  limit of one request's body.
    ``max_waiting``       jobs of one kind that may wait.
    ``keep_seconds``, ``keep_bytes``  how long results stay, and how much disk they may take.
    ``job_seconds``       the longest a job may take.
    ``models``            what writes, renders and classifies.
    ``library``           the collection that is asked, a folder or an address; None is the user's own.
    ``osc_port``          UDP port on which Open Sound Control is heard, None for none; answers go to
                          ``osc_reply_port``, or to where a message came from.
    """

    data: Path
    hosts: tuple[str, ...] = LOOPBACK
    token: str | None = None
    max_upload_bytes: int = 100 * 2**20
    max_waiting: int = 32
    keep_seconds: float = 7 * 86_400.0
    keep_bytes: int = 2 * 2**30
    job_seconds: float = 600.0
    models: ModelNames = field(default_factory=ModelNames)
    library: Address | None = None
    osc_port: int | None = None
    osc_reply_port: int | None = None


class Studio:
    """What the routes share: stores, runners, settings."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.jobs = JobStore(settings.data, settings.max_waiting)
        self.uploads = UploadStore(settings.data / "uploads")
        self.runners = {
            sort: Runner(self.jobs, sort, settings.models, settings.job_seconds, self.clean) for sort in KINDS
        }
        self.performer = Performer(settings.data / "live", self.clean)
        self._ending = threading.Event()
        self._pruner = threading.Thread(target=self._prune, name="melodygen-prune", daemon=True)

    def start(self) -> None:
        """Fail what a crash interrupted, then start the runners; their models load in the background."""
        self.jobs.recover()
        for runner in self.runners.values():
            runner.start()
        self._pruner.start()

    def close(self) -> None:
        """Stop what plays and end the workers; jobs that wait go on at the next start."""
        self._ending.set()
        self.performer.stop()
        for runner in self.runners.values():
            runner.close()
        self.jobs.close()

    def clean(self, text: str) -> str:
        """An error without the paths of this machine."""
        for folder in (self.settings.data, self.library_address):
            text = text.replace(str(folder), Path(folder).name)
        text = re.sub(r"upload\.[a-z0-9]+", "the file", text)
        return re.sub(r"(?<![\w.])/(?:[\w.~-]+/)+", "", text)

    @property
    def library_address(self) -> Address:
        """Where the library lies, whether it is there or not."""
        return default_address() if self.settings.library is None else self.settings.library

    def has_library(self) -> bool:
        """Whether there is a library to ask; of one in a database it is taken for granted."""
        address = self.library_address
        return is_server(address) or (Path(address) / CATALOG).is_file()

    @contextmanager
    def library(self) -> Iterator[Library]:
        """The library, for one question. Raises LibraryError where there is none."""
        from melodygen.services.library import Library

        with Library(self.library_address) as library:
            yield library

    def cancel(self, job: Job) -> None:
        """Stop a job; it ends within a second. A job that has ended stays as it is."""
        if not self.jobs.withdraw(job.id) and job.state not in ENDED:
            next(runner for sort, runner in self.runners.items() if job.kind in KINDS[sort]).cancel(job.id)

    def find_source(self, name: str, value: Any) -> Path:
        """The file behind ``upload:ID`` or ``job:ID/NUMBER`` (a candidate of a job). UsageError for anything else."""
        text = value if isinstance(value, str) else ""
        try:
            if text.startswith("upload:"):
                return self.uploads.get(text.removeprefix("upload:")).path
            if match := re.fullmatch(r"job:([0-9a-f]{32})/(\d{1,4})", text):
                path = self.jobs.results(match[1]) / f"candidate-{int(match[2])}.mid"
                if path.is_file():
                    return path
        except KeyError:
            pass
        raise UsageError(f"{name} {text!r} is not here: give 'upload:ID' of /v1/uploads or 'job:ID/NUMBER'")

    def _prune(self) -> None:
        while not self._ending.wait(PRUNE_SECONDS):
            self.jobs.prune(self.settings.keep_seconds, self.settings.keep_bytes)
            self.uploads.prune(self.settings.keep_seconds)
