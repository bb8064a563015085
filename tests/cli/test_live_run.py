"""``melodygen live`` without a port: options become parameters, the session plays, the report says what was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from livehost import Scribe

from melodygen.cli import live_run
from melodygen.cli.live_run import LiveOptions, run_live
from melodygen.engine import Phrase, PhraseRequest
from melodygen.errors import UsageError
from melodygen.live.transport import MidiBytes
from melodygen.services.models import ModelNames
from melodygen.services.ports import open_outputs


class Wire:
    """An output that keeps what is sent."""

    name, lead_seconds = "wire", 0.0

    def __init__(self) -> None:
        self.sent: list[MidiBytes] = []
        self.asked: list[PhraseRequest] = []
        """What the writer was asked for."""

    def send(self, message: MidiBytes, at: float | None = None) -> bool:
        self.sent.append(message)
        return True

    def keep_time(self) -> None: ...

    def recall(self, is_stop: bool) -> None: ...


def test_a_port_for_each_role(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}

    class Output(Wire):
        def __init__(self, name: str, virtual: bool = False) -> None:
            super().__init__()
            self.name, self.is_virtual = name, virtual
            made[name] = self

        def close(self) -> None: ...

    monkeypatch.setattr("melodygen.live.outputs.PortOutput", Output)
    channels = {"melody": 0, "bass": 2, "drums": 9}
    with open_outputs(["drums=kit"], "melodygen", channels, per_role=True) as (output, ports):
        assert [p.name for p in ports] == ["melodygen", "kit", "melodygen melody", "melodygen bass"]
        for message in ((0x90, 60, 90), (0x92, 40, 90), (0x99, 36, 90), (0xF8,)):
            output.send(message)
    assert made["melodygen melody"].sent == [(0x90, 60, 90), (0xF8,)]
    assert made["melodygen bass"].sent == [(0x92, 40, 90), (0xF8,)]
    assert made["kit"].sent == [(0x99, 36, 90), (0xF8,)] and made["melodygen"].sent == [(0xF8,)]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    output = Wire()

    @contextmanager
    def open_outputs(*_: Any) -> Iterator[tuple[Wire, list[Any]]]:
        yield output, []

    class Heard(Scribe):
        def write(self, task: PhraseRequest) -> Phrase:
            output.asked.append(task)
            return super().write(task)

    monkeypatch.setattr(live_run, "open_outputs", open_outputs)
    monkeypatch.setattr(live_run, "ProcessWriter", lambda load, wait, styles: Heard())
    return output


@pytest.mark.parametrize("stored", [True, False])
def test_plays_until_and_reports(stored: bool, wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    parameters = {"style": "jazz", "bars_per_phrase": 1, "swing": 0.6, "tracks": "melody", "seed": 3}
    options = LiveOptions(ModelNames(), parameters, until=2, tempo=300.0, quiet=True, json_=True)
    run_live(replace(options, stored_opening=stored))
    report = json.loads(capsys.readouterr().out)
    assert report["stored_opening"] is stored
    assert (wire.asked[0].request.prompt is not None) is stored, "the first that is written goes on from it"
    assert report["quarters"] == pytest.approx(8.0, abs=0.1) and report["phrases"] >= 1
    assert any(message[0] & 0xF0 == 0x90 for message in wire.sent)


@pytest.mark.parametrize(
    ("options", "parameters", "words"),
    [
        ({}, {"style": "jaz"}, "did you mean 'jazz'"),
        ({}, {"swing": 0.9}, "swing 0.9 is not possible; give 0.5 to 0.75"),
        ({}, {"mode": "answer"}, "--input NAME"),
        ({"tempo": 5.0}, {}, "tempo 5"),
        ({"sync": "x", "count_in": 1}, {}, "--count-in"),
        ({"channels": "drums=17"}, {}, "channel of drums 17"),
    ],
)
def test_wrong_options_are_named_before_anything_is_opened(
    options: dict[str, Any], parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        run_live(LiveOptions(ModelNames(), {"style": "jazz", **parameters}, **options))
