"""A file's own events on its own channels, from anywhere and in a loop."""

from __future__ import annotations

from pathlib import Path

from melodygen.io.midi_document import MidiDocument, document_of, read_midi_document
from melodygen.io.midi_events import END_OF_TRACK, MidiEvents
from melodygen.live.document_processor import DocumentProcessor
from melodygen.live.transport import Block, MidiBytes, Transport

CASES = Path(__file__).parents[1] / "cases"
BLOCK = 512


def case(name: str) -> MidiDocument:
    return read_midi_document(CASES / f"{name}.mid")


def played(
    processor: DocumentProcessor, start: float, blocks: int, loop: tuple[float, float] | None = None
) -> list[tuple[float, MidiBytes]]:
    """(quarter, message) of what is sent at 120 qpm and 48 kHz."""
    found, position, step = [], start, BLOCK * 2 / 48_000
    for _ in range(blocks):
        transport = Transport(position, 120.0, True, loop)
        events = processor.process(transport, Block(BLOCK))
        assert [e.offset for e in events] == sorted(e.offset for e in events)
        found += [(position + e.offset * 2 / 48_000, e.message) for e in events]
        position += step
        if loop is not None and position >= loop[1]:
            position -= loop[1] - loop[0]
    return found


def fresh(name: str) -> DocumentProcessor:
    processor = DocumentProcessor(case(name))
    processor.prepare(48_000, BLOCK)
    return processor


def test_every_event_goes_out_at_its_place_and_on_its_channel() -> None:
    for name in ("human", "channels_5_8", "cc7_fade", "bend_up2", "pedal"):
        document, processor = case(name), fresh(name)
        sent = played(processor, 0.0, round((processor.length_quarters + 1) * 24_000 / BLOCK) + 2)
        per_quarter = document.score.ticks_per_quarter
        expected = sorted(
            (tick, tuple(message))
            for events in document.events.tracks
            for tick, message in events
            if message[0] < 0xF0
        )
        assert sorted(m for _, m in sent) == sorted(m for _, m in expected)
        assert (
            max(abs(a - t / per_quarter) for (a, _), (t, _) in zip(sorted(sent), expected, strict=True))
            < 0.01
        )
    assert {m[0] & 15 for _, m in played(fresh("channels_5_8"), 0.0, 60)} == {4, 7}


def test_playing_from_the_middle_begins_with_what_is_in_force_there() -> None:
    sent = played(fresh("cc7_fade"), 4.25, 4)
    assert sent[0][1][:2] == (0xB0, 7) and sent[0][1][2] < 110
    assert not any(m[0] & 0xF0 == 0x80 for _, m in sent), "no note-off for what was never begun"


def test_a_loop_goes_back_to_what_was_in_force_at_its_beginning() -> None:
    sent = played(fresh("pedal"), 0.0, 400, (0.0, 2.0))
    pedal = [m[2] for _, m in sent if m[:2] == (0xB0, 64)]
    assert pedal[:5] == [127, 0, 127, 0, 127], "up where the loop begins again, then down as the file says"
    ons = sum(m[0] == 0x90 for _, m in sent)
    offs = sum(m[0] == 0x80 for _, m in sent)
    assert ons == offs or ons == offs + 1


def test_notes_without_an_end_are_ended() -> None:
    processor = fresh("no_offs")
    sent = played(processor, 0.0, round((processor.length_quarters + 1) * 24_000 / BLOCK) + 2)
    assert sum(m[0] == 0x90 for _, m in sent) == sum(m[0] == 0x80 for _, m in sent) == 32


def test_parameters_and_system_exclusive_keep_their_order_when_playing_begins_later() -> None:
    rpn = [(0, bytes((0xB0, n, v))) for n, v in ((101, 0), (100, 0), (6, 12), (101, 127), (100, 127))]
    reset = (0, b"\xf0\x05\x7e\x7f\x09\x01\xf7")
    track = [reset, *rpn, (960, bytes((0x90, 60, 80))), (1440, bytes((0x80, 60, 0))), (1440, END_OF_TRACK)]
    processor = DocumentProcessor(document_of(MidiEvents(0, 480, (track,)), "x.mid"))
    processor.prepare(48_000, BLOCK)
    sent = [m for _, m in played(processor, 1.9, 6)]
    assert sent[0] == (0xF0, 0x7E, 0x7F, 0x09, 0x01, 0xF7)
    assert [m[1:] for m in sent[1:6]] == [(101, 0), (100, 0), (6, 12), (101, 127), (100, 127)]
    assert sent[6] == (0x90, 60, 80)
