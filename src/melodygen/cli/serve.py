"""``melodygen serve``: the engine over HTTP, and the studio page."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_PORT = 8765


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on. Another than this machine's needs --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port, 0 for any free one.", min=0, max=65_535)] = DEFAULT_PORT,
    token: Annotated[
        str | None,
        typer.Option(help="Token that requests must carry; 'new' makes one.", envvar="MELODYGEN_TOKEN"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of jobs and results. Default: your data folder.")
    ] = None,
    max_upload: Annotated[int, typer.Option(help="Limit of an upload in MiB.", min=1, max=100_000)] = 100,
    max_waiting: Annotated[int, typer.Option(help="Jobs of one kind that may wait.", min=1, max=10_000)] = 32,
    keep_days: Annotated[float, typer.Option(help="Days that results stay.", min=0.001, max=3650)] = 7.0,
    keep_gib: Annotated[float, typer.Option(help="Disk that results may take, in GiB.", min=0.001)] = 2.0,
    model: Annotated[str | None, typer.Option(help="Generator: name or folder.")] = None,
    classifier: Annotated[str | None, typer.Option(help="Classifier: name or folder.")] = None,
    renderer: Annotated[str | None, typer.Option(help="Renderer by name.")] = None,
    library: Annotated[
        str | None, typer.Option(help="The library: a folder, or postgresql://…. Default: your own.")
    ] = None,
    osc: Annotated[
        int | None,
        typer.Option(help="UDP port for Open Sound Control, of this machine only.", min=1, max=65_535),
    ] = None,
    osc_reply: Annotated[
        int | None,
        typer.Option(help="Port that OSC answers go to. Default: where it came from.", min=1, max=65_535),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Serve the studio page and the HTTP API on this machine.

    The API is described at /docs. Ctrl-C stops the server; jobs that wait are done at the next start.
    """
    from melodygen.errors import PluginError, UsageError

    try:
        import uvicorn

        from melodygen.server.app import ServerSettings, create_app, new_token
        from melodygen.server.guard import LOOPBACK

        if osc is not None:
            import pythonosc  # noqa: F401
        from melodygen.services.models import ModelNames, check_names
    except ImportError as error:
        raise PluginError(
            f"the server needs more packages ({error.name}): pip install 'melodygen[server]'"
        ) from error

    is_local = host in LOOPBACK
    if not is_local and not token:
        raise UsageError(f"--host {host} can be reached by others: give --token TOKEN, or --token new")
    token = new_token() if token == "new" else token
    names = ModelNames(model, classifier, renderer)
    check_names(names)  # else every job would fail of it
    settings = ServerSettings(
        data=data or _data_folder(),
        hosts=LOOPBACK if is_local else (*LOOPBACK, host, *_own_names()),
        token=token,
        max_upload_bytes=max_upload * 2**20,
        max_waiting=max_waiting,
        keep_seconds=keep_days * 86_400,
        keep_bytes=round(keep_gib * 2**30),
        models=names,
        library=library,
        osc_port=osc,
        osc_reply_port=osc_reply,
    )
    listener = _listen(host, port)
    url = f"http://{host if host not in ('0.0.0.0', '::') else '127.0.0.1'}:{listener.getsockname()[1]}"
    print(f"melodygen serves {url} (Ctrl-C stops it)", file=sys.stderr)
    if token:
        print(f"open {url}/#token={token}", file=sys.stderr)
    if open_page:
        import threading
        import webbrowser

        threading.Timer(1.0, webbrowser.open, (f"{url}/#token={token}" if token else url,)).start()
    config = uvicorn.Config(create_app(settings), log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:

    from melodygen.errors import UsageError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} on {host} cannot be used: {error.strerror}; choose another with --port"
        ) from error
    return listener


def _own_names() -> tuple[str, ...]:
    name = socket.gethostname()
    return (name, f"{name}.local")


def _data_folder() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "melodygen" / "server"
