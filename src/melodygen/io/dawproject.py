"""Score -> ``.dawproject``, the open exchange format of Bitwig Studio, Studio One, Cubase and others.

A ZIP with ``project.xml`` and ``metadata.xml``, and stems as WAV below ``audio/``. Each track becomes a note track
with name, colour, General MIDI program and one clip; each stem an audio track. Tempo and meter maps are automation
of the transport, chords and sections are cue markers. Times are quarters, which the format calls beats. Written from
the format's description and schema (version 1.0); the same score gives the same bytes.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from melodygen.atomic import atomic_path
from melodygen.audio.buffer import Audio
from melodygen.io.midi import assign_channels
from melodygen.music.harmony import usual_name
from melodygen.music.score import Score, Track

FORMAT_VERSION = "1.0"
COLOURS = {
    "melody": "#b03a2e", "chords": "#205a7a", "bass": "#1d6b3f", "drums": "#6b5a1d", "other": "#6a3d9a",
}  # fmt: skip
MAX_VELOCITY = 127
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Control characters and halves of surrogates, which names of tracks in MIDI files may hold."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member: a ZIP without dates of its own is the same each time."""


def write_dawproject(
    path: str | os.PathLike[str],
    score: Score,
    stems: Mapping[str, Audio] | None = None,
    sections: Sequence[tuple[int, str]] = (),
    comment: str = "",
    version: str = "",
    overwrite: bool = False,
) -> None:
    """Write a score as a project, whole or not at all.

    Args:
        path: where it is written.
        score: the music.
        stems: sound by the name of its track, laid as audio tracks beside the note tracks.
        sections: (tick, name) of each section, as cue markers; none: those of the score.
        comment: text of the metadata (provenance).
        version: of melodygen, written as the application's.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
    """
    project = _project(score, stems or {}, sections)
    project[0].set("version", version)
    metadata = ET.Element("MetaData")
    if score.title:
        ET.SubElement(metadata, "Title").text = score.title
    if comment:
        ET.SubElement(metadata, "Comment").text = comment
    with atomic_path(path, overwrite=overwrite) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, "project.xml", _xml(project))
        _add(archive, "metadata.xml", _xml(metadata))
        for number, audio in enumerate((stems or {}).values(), 1):
            _add(archive, _stem_path(number), _wav(audio))


def _project(score: Score, stems: Mapping[str, Audio], sections: Sequence[tuple[int, str]]) -> ET.Element:
    root = ET.Element("Project", version=FORMAT_VERSION)
    ET.SubElement(root, "Application", name="melodygen")
    transport = ET.SubElement(root, "Transport")
    _parameter(transport, "Tempo", "tempo", "bpm", score.qpm, 20, 666)
    meter = score.time_signatures[0]
    ET.SubElement(
        transport,
        "TimeSignature",
        id="meter",
        numerator=str(meter.numerator),
        denominator=str(meter.denominator),
    )
    structure = ET.SubElement(root, "Structure")
    arrangement = ET.SubElement(root, "Arrangement", id="arrangement")
    lanes = ET.SubElement(arrangement, "Lanes", id="lanes", timeUnit="beats")
    for number, (track, channel) in enumerate(zip(score.tracks, assign_channels(score), strict=True), 1):
        name = track.name or track.role
        _track(structure, f"track{number}", name, COLOURS.get(track.role, COLOURS["other"]), "notes")
        _note_lane(lanes, f"track{number}", name, score, track, channel)
    for number, (name, audio) in enumerate(stems.items(), 1):
        role = next((t.role for t in score.tracks if name in (t.name, t.role)), "other")
        _track(structure, f"stem{number}", f"{name} (audio)", COLOURS.get(role, COLOURS["other"]), "audio")
        _audio_lane(lanes, f"stem{number}", number, audio)
    _track(structure, "mastertrack", "Master", "#52606d", "audio notes", role="master")
    _markers(arrangement, score, sections)
    _tempo_map(arrangement, score)
    _meter_map(arrangement, score)
    return root


def _track(
    parent: ET.Element, identity: str, name: str, colour: str, content: str, role: str = "regular"
) -> None:
    track = ET.SubElement(
        parent, "Track", id=identity, name=name, color=colour, contentType=content, loaded="true"
    )
    attributes = {"audioChannels": "2", "id": f"{identity}-channel", "role": role}
    if role != "master":
        attributes["destination"] = "mastertrack-channel"
    channel = ET.SubElement(track, "Channel", attributes)
    _parameter(channel, "Volume", f"{identity}-volume", "linear", 1, 0, 2)


def _note_lane(lanes: ET.Element, identity: str, name: str, score: Score, track: Track, channel: int) -> None:
    lane = ET.SubElement(lanes, "Lanes", id=f"{identity}-lanes", track=identity)
    clips = ET.SubElement(lane, "Clips", id=f"{identity}-clips")
    length = _number(score.bar_ticks()[-1] / score.ticks_per_quarter)
    clip = ET.SubElement(clips, "Clip", time="0", duration=length, playStart="0", name=name)
    notes = ET.SubElement(clip, "Notes", id=f"{identity}-notes")
    for note in track:
        ET.SubElement(
            notes, "Note", time=_quarters(score, note.onset_tick), duration=_quarters(score, note.duration_ticks),
            channel=str(channel), key=str(note.pitch), vel=_number(note.velocity / MAX_VELOCITY),
        )  # fmt: skip
    points = ET.SubElement(lane, "Points", id=f"{identity}-program")
    ET.SubElement(points, "Target", expression="programChange", channel=str(channel))
    ET.SubElement(points, "IntegerPoint", time="0", value=str(track.program))


def _audio_lane(lanes: ET.Element, identity: str, number: int, audio: Audio) -> None:
    lane = ET.SubElement(lanes, "Lanes", id=f"{identity}-lanes", track=identity)
    clips = ET.SubElement(lane, "Clips", id=f"{identity}-clips", timeUnit="seconds")
    seconds = _number(audio.duration_seconds)
    clip = ET.SubElement(clips, "Clip", time="0", duration=seconds, contentTimeUnit="seconds", playStart="0")
    sound = ET.SubElement(
        clip, "Audio", id=f"{identity}-audio", channels=str(audio.num_channels), sampleRate=str(audio.sample_rate),
        duration=seconds,
    )  # fmt: skip
    ET.SubElement(sound, "File", path=_stem_path(number))


def _markers(arrangement: ET.Element, score: Score, sections: Sequence[tuple[int, str]]) -> None:
    own = [(section.tick, section.name) for section in score.sections]
    named = sorted(
        [*(sections or own), *((chord.tick, usual_name(chord.label)) for chord in score.chords)],
        key=lambda mark: mark[0],
    )
    if not named:
        return
    markers = ET.SubElement(arrangement, "Markers", id="markers", timeUnit="beats")
    for tick, name in named:
        ET.SubElement(markers, "Marker", time=_quarters(score, tick), name=name)


def _tempo_map(arrangement: ET.Element, score: Score) -> None:
    points = ET.SubElement(arrangement, "TempoAutomation", id="tempo-map", timeUnit="beats", unit="bpm")
    ET.SubElement(points, "Target", parameter="tempo")
    for tempo in score.tempos:
        ET.SubElement(
            points,
            "RealPoint",
            time=_quarters(score, tempo.tick),
            value=_number(tempo.qpm),
            interpolation="hold",
        )


def _meter_map(arrangement: ET.Element, score: Score) -> None:
    points = ET.SubElement(arrangement, "TimeSignatureAutomation", id="meter-map", timeUnit="beats")
    ET.SubElement(points, "Target", parameter="meter")
    for meter in score.time_signatures:
        ET.SubElement(
            points, "TimeSignaturePoint", time=_quarters(score, meter.tick),
            numerator=str(meter.numerator), denominator=str(meter.denominator),
        )  # fmt: skip


def _parameter(
    parent: ET.Element, tag: str, identity: str, unit: str, value: float, low: float, high: float
) -> None:
    values = {
        "max": _number(high),
        "min": _number(low),
        "unit": unit,
        "value": _number(value),
        "id": identity,
    }
    ET.SubElement(parent, tag, values, name=tag)


def _quarters(score: Score, ticks: int) -> str:
    return _number(ticks / score.ticks_per_quarter)


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def _xml(root: ET.Element) -> bytes:
    """The document as bytes, without the characters that XML has no way to write."""
    for element in root.iter():
        element.text = _FORBIDDEN.sub("", element.text) if element.text else element.text
        for name, value in element.items():
            element.set(name, _FORBIDDEN.sub("", value))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _stem_path(number: int) -> str:
    return f"audio/stem-{number}.wav"


def _wav(audio: Audio) -> bytes:
    import soundfile as sf

    stream = io.BytesIO()
    sf.write(stream, audio.samples.T, audio.sample_rate, format="WAV", subtype="PCM_24")
    return stream.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(member, content)
