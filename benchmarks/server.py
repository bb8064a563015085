"""The server under load, on this machine alone: clients with mixed work, health while jobs run, time to candidates.

    python benchmarks/server.py load [--clients 50] [--seconds 120]
    python benchmarks/server.py candidates [--style jazz] [--bars 16]
    python benchmarks/server.py broken [--count 1000]
    python benchmarks/server.py upload [--gib 5]       # refused early, and what the server's memory does meanwhile
    python benchmarks/server.py classify [--seconds 30]  # requests a second, memory of all its processes
    python benchmarks/server.py openapi [--examples 100]  # all that the description allows (schemathesis)

Each starts a server of its own with a fresh data folder and prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile as sf


@contextmanager
def server(*options: str) -> Iterator[tuple[str, float, int]]:
    """(address, seconds until it answered, process id)."""
    with tempfile.TemporaryDirectory() as data:
        started = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "melodygen",
            "serve",
            "--port",
            "0",
            "--no-open",
            "--data",
            data,
            *options,
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        url = process.stderr.readline().split()[2]
        while True:
            try:
                httpx.get(f"{url}/v1/health").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.02)
        try:
            yield url, time.monotonic() - started, process.pid
        finally:
            process.terminate()
            process.wait(20)


def ready(url: str) -> float:
    """Seconds until all models are loaded."""
    started = time.monotonic()
    while not all(httpx.get(f"{url}/v1/health").json()["ready"].values()):
        time.sleep(0.1)
    return time.monotonic() - started


def clip(seconds: float = 5.0) -> bytes:
    stream = io.BytesIO()
    rng = np.random.default_rng(1)
    sf.write(
        stream, 0.2 * np.sin(np.cumsum(rng.uniform(0.05, 0.4, round(8000 * seconds)))), 8000, format="WAV"
    )
    return stream.getvalue()


async def _client(url: str, number: int, until: float, counts: Counter[str], delays: list[float]) -> None:
    rng = random.Random(number)
    sound = clip()
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:
        while time.monotonic() < until:
            kind = rng.choice(("health", "health", "styles", "classify", "generate", "jobs", "page"))
            started = time.monotonic()
            if kind == "classify":
                answer = await client.post("/v1/classify", files={"file": ("a.wav", sound)})
            elif kind == "generate":
                answer = await client.post("/v1/generate", json={"style": "folk", "bars": 4, "candidates": 1})
            else:
                paths = {
                    "health": "/v1/health",
                    "styles": "/v1/styles",
                    "jobs": "/v1/jobs",
                    "page": "/main.js",
                }
                answer = await client.get(paths[kind])
            if kind == "health":
                delays.append(time.monotonic() - started)
            counts[f"{kind} {answer.status_code}"] += 1
            await asyncio.sleep(rng.uniform(0.0, 0.5))


def load(clients: int, seconds: float) -> dict[str, Any]:
    with server() as (url, answered, _):
        loaded = ready(url)
        counts: Counter[str] = Counter()
        delays: list[float] = []
        until = time.monotonic() + seconds

        async def all_clients() -> None:
            await asyncio.gather(*(_client(url, n, until, counts, delays) for n in range(clients)))

        asyncio.run(all_clients())
        failed = sum(n for what, n in counts.items() if what.split()[1] not in ("200", "202", "429"))
        return {
            "first_answer_seconds": round(answered, 2), "models_loaded_seconds": round(loaded, 2),
            "requests": sum(counts.values()), "failed": failed, "counts": dict(sorted(counts.items())),
            "health_p95_ms": round(1000 * float(np.percentile(delays, 95)), 1),
        }  # fmt: skip


def candidates(style: str, bars: int) -> dict[str, Any]:
    """From the click to each candidate, warm: wall time, and CPU time of all the server's processes."""
    with server() as (url, answered, pid):
        loaded = ready(url)
        started, cpu = time.monotonic(), cpu_seconds(pid)
        job = httpx.post(
            f"{url}/v1/generate",
            json={"style": style, "bars": bars, "candidates": 8, "seed": 7, "max_rounds": 1},
        )
        times = []
        with httpx.stream("GET", url + job.json()["events"], timeout=300) as stream:
            for line in stream.iter_lines():
                if line == "event: candidate":
                    times.append((time.monotonic() - started, cpu_seconds(pid) - cpu))
        return {
            "first_answer_seconds": round(answered, 2), "models_loaded_seconds": round(loaded, 2),
            "first_candidate_seconds": round(times[0][0], 2), "first_candidate_cpu_seconds": round(times[0][1], 2),
            "all_candidates_seconds": round(times[-1][0], 2), "all_candidates_cpu_seconds": round(times[-1][1], 2),
        }  # fmt: skip


def broken(count: int) -> dict[str, Any]:
    rng = random.Random(5)
    counts: Counter[str] = Counter()
    with (
        server("--max-waiting", "10000") as (url, _, _pid),
        httpx.Client(base_url=url, timeout=120.0) as client,
    ):
        for n in range(count):
            head = rng.choice((b"RIFF", b"MThd", b"fLaC", b"OggS", b"ID3\x03", b"<?xml", b"X:1\n", b""))
            content = head + rng.randbytes(rng.randrange(0, 4000))
            name = f"x{n}{rng.choice(('.wav', '.mid', '.flac', '.ogg', '.mp3', '.musicxml', '.abc', ''))}"
            answer = client.post("/v1/classify?wait=60", files={"file": (name, content)})
            counts[str(answer.status_code)] += 1
            said = answer.json().get("error") or "classified"
            assert "Traceback" not in said and "/tmp" not in said and "\n" not in said, said
    return dict(counts)


def _tree(pid: int) -> list[int]:
    """A process and its descendants, from /proc."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def memory(pid: int) -> float:
    """MiB that a process holds in memory."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """That a process and its descendants have used."""
    total = 0
    for one in _tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def upload(gib: float) -> dict[str, Any]:
    """A body without a length, so that the server must count; and one that says its length."""
    with server() as (url, _, pid):
        address = httpx.URL(url)
        host_port = (str(address.host), int(address.port or 0))
        before = memory(pid)
        peak, sent = before, 0
        block = bytes(2**20)
        with socket.create_connection(host_port) as line:
            head = f"POST /v1/uploads HTTP/1.1\r\nHost: {host_port[0]}\r\nTransfer-Encoding: chunked\r\n"
            line.sendall((head + "Content-Type: multipart/form-data; boundary=x\r\n\r\n").encode())
            part = b"--x\r\nContent-Disposition: form-data; name=file; filename=a.wav\r\n\r\n"
            line.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            answer = b""
            with suppress(OSError):
                while sent < gib * 2**30:
                    line.sendall(b"%x\r\n%b\r\n" % (len(block), block))
                    sent += len(block)
                    peak = max(peak, memory(pid))
            with suppress(OSError):
                answer = line.recv(4096)
        said = _declared(host_port, round(gib * 2**30))
        return {
            "sent_mib_until_refused": sent / 2**20, "answer": answer.split(b"\r\n")[0].decode(),
            "answer_to_a_declared_length": said, "memory_before_mib": round(before, 1),
            "memory_peak_mib": round(peak, 1),
        }  # fmt: skip


def _declared(host_port: tuple[str, int], length: int) -> str:
    with socket.create_connection(host_port) as line:
        line.sendall(
            f"POST /v1/uploads HTTP/1.1\r\nHost: {host_port[0]}\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        return line.recv(4096).split(b"\r\n")[0].decode()


def classify(seconds: float) -> dict[str, Any]:
    """One client after the other, a clip of five seconds each."""
    with server() as (url, _, pid), httpx.Client(base_url=url, timeout=120.0) as client:
        ready(url)
        sound, times, cpu = clip(), [], cpu_seconds(pid)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            started = time.monotonic()
            answer = client.post("/v1/classify?wait=60", files={"file": ("a.wav", sound)})
            assert answer.json()["state"] == "done", answer.text
            times.append(time.monotonic() - started)
        return {
            "requests": len(times), "requests_a_second": round(len(times) / sum(times), 2),
            "median_seconds": round(float(np.median(times)), 3),
            "cpu_seconds_a_request": round((cpu_seconds(pid) - cpu) / len(times), 3),
            "memory_mib": {str(i): round(memory(p)) for i, p in enumerate(_tree(pid))},
        }  # fmt: skip


def openapi(examples: int) -> dict[str, Any]:
    """Every operation that neither plays nor streams."""
    import schemathesis
    from hypothesis import HealthCheck, given, settings

    counts: Counter[str] = Counter()
    with server() as (url, _, _pid), httpx.Client(base_url=url, timeout=60.0) as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        for found in schema.get_all_operations():
            operation = found.ok()
            if any(word in operation.path for word in ("/live/start", "/events", "/v1/play", "/library/map")):
                continue

            @settings(
                max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
            )
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                if case.query and "wait" in case.query:
                    case.query["wait"] = 0
                answer = client.request(**case.as_transport_kwargs(base_url=url))
                counts[str(answer.status_code)] += 1
                assert answer.status_code < 500, (case.method, case.path, answer.text)

            ask()
    return dict(counts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("load", "candidates", "broken", "upload", "classify", "openapi"))
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--style", default="jazz")
    parser.add_argument("--bars", type=int, default=16)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--gib", type=float, default=5.0)
    parser.add_argument("--examples", type=int, default=100)
    given = parser.parse_args()
    results = {
        "load": lambda: load(given.clients, given.seconds),
        "candidates": lambda: candidates(given.style, given.bars),
        "broken": lambda: broken(given.count),
        "upload": lambda: upload(given.gib),
        "classify": lambda: classify(given.seconds),
        "openapi": lambda: openapi(given.examples),
    }
    print(
        json.dumps({**results[given.what](), "load_average": Path("/proc/loadavg").read_text().split()[:2]})
    )


if __name__ == "__main__":
    main()
