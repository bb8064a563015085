"""Projects for DAWs: what a second reader of the ZIP and its XML finds is what the score holds."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from pieces import rough_scores, tune

from melodygen.audio.buffer import Audio
from melodygen.io.dawproject import write_dawproject
from melodygen.music.score import Score

SCHEMAS = os.environ.get("MELODYGEN_DAWPROJECT_XSD")
NAMED = "name color comment"
REFERENCED = f"id {NAMED}"
TIMELINE = f"timeUnit track {REFERENCED}"
RULES: dict[str, tuple[str, str, str]] = {
    "Project": ("Application Transport Structure Arrangement", "version", ""),
    "Application": ("", "name version", ""),
    "Transport": ("Tempo TimeSignature", "", ""),
    "Tempo": ("", "unit", f"max min value parameterID {REFERENCED}"),
    "TimeSignature": ("", "numerator denominator", f"parameterID {REFERENCED}"),
    "Structure": ("Track*", "", ""),
    "Track": ("Channel Track*", "", f"contentType loaded {REFERENCED}"),
    "Channel": ("Devices Mute Pan Sends Volume", "", f"audioChannels destination role solo {REFERENCED}"),
    "Volume": ("", "unit", f"max min value parameterID {REFERENCED}"),
    "Arrangement": ("Lanes Markers TempoAutomation TimeSignatureAutomation", "", REFERENCED),
    "Lanes": ("Lanes* Clips* Points*", "", TIMELINE),
    "Clips": ("Clip*", "", TIMELINE),
    "Clip": (
        "Notes Audio", "time", f"duration contentTimeUnit playStart playStop loopStart loopEnd enable reference {NAMED}"
    ),
    "Notes": ("Note*", "", TIMELINE),
    "Note": ("", "time duration channel key", "vel rel"),
    "Points": ("Target IntegerPoint*", "", f"unit {TIMELINE}"),
    "Target": ("", "", "parameter expression channel key controller"),
    "IntegerPoint": ("", "time value", ""),
    "RealPoint": ("", "time value", "interpolation"),
    "TimeSignaturePoint": ("", "time numerator denominator", ""),
    "Audio": ("File", "channels sampleRate duration", f"algorithm {TIMELINE}"),
    "File": ("", "path", "external"),
    "Markers": ("Marker*", "", TIMELINE),
    "Marker": ("", "time", NAMED),
    "TempoAutomation": ("Target RealPoint*", "", f"unit {TIMELINE}"),
    "TimeSignatureAutomation": ("Target TimeSignaturePoint*", "", f"unit {TIMELINE}"),
    "MetaData": ("Title Artist Composer Comment", "", ""),
    "Title": ("", "", ""),
    "Comment": ("", "", ""),
}  # fmt: skip
"""What the schemas of the format (Project.xsd, MetaData.xsd, version 1.0) say of each element here: children in
their order (``*``: any number), attributes that must be there, attributes that may be."""
WHOLE = ("numerator", "denominator", "channel", "key", "channels", "sampleRate", "audioChannels")
NUMBERS = ("time", "duration", "playStart", "max", "min")
CHOICES = {
    "unit": {"linear", "normalized", "percent", "decibel", "hertz", "semitones", "seconds", "beats", "bpm"},
    "timeUnit": {"beats", "seconds"}, "contentTimeUnit": {"beats", "seconds"}, "loaded": {"true", "false"},
    "role": {"regular", "master", "effect", "submix", "vca"}, "interpolation": {"hold", "linear"},
    "expression": {"gain", "pan", "transpose", "programChange", "pitchBend", "channelController"},
    "contentType": {"audio", "automation", "notes", "video", "markers", "tracks"},
}  # fmt: skip


def read(path: Path) -> ET.Element:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return ET.fromstring(archive.read("project.xml"))


def check_schema(root: ET.Element) -> None:
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        for name in ("track", "destination", "parameter", "reference"):
            assert element.get(name) is None or element.get(name) in ids
        check_rules(element)


def check_rules(element: ET.Element) -> None:
    children, required, optional = (text.split() for text in RULES[element.tag])
    order = [child.rstrip("*") for child in children]
    places = [order.index(child.tag) for child in element]
    assert places == sorted(places)
    for name, own in zip(children, order, strict=True):
        assert name.endswith("*") or sum(child.tag == own for child in element) <= 1
    assert set(required) <= set(element.keys()) <= {*required, *optional}, element.tag
    for name, value in element.items():
        if name in WHOLE:
            int(value)
        elif name in NUMBERS:
            float(value)
        elif name == "id":
            assert value.replace("-", "").isalnum() and value[0].isalpha()
        elif name in CHOICES:
            assert set(value.split()) <= CHOICES[name], (name, value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(score=rough_scores())
def test_notes_tempo_and_meter_come_back(score: Score, tmp_path: Path) -> None:
    path = tmp_path / "a.dawproject"
    write_dawproject(path, score, overwrite=True)
    first = path.read_bytes()
    write_dawproject(path, score, overwrite=True)
    assert path.read_bytes() == first
    root = read(path)
    check_schema(root)
    quarter = score.ticks_per_quarter
    for number, track in enumerate(score.tracks, 1):
        lane = root.find(f".//Lanes[@track='track{number}']")
        assert lane is not None
        found = [
            (round(float(n.get("time", "")) * quarter), round(float(n.get("duration", "")) * quarter),
             int(n.get("key", "")), round(float(n.get("vel", "")) * 127))
            for n in lane.iter("Note")
        ]  # fmt: skip
        assert found == [(n.onset_tick, n.duration_ticks, n.pitch, n.velocity) for n in track]
    tempi = [
        (round(float(p.get("time", "")) * quarter), float(p.get("value", ""))) for p in root.iter("RealPoint")
    ]
    assert [t for t, _ in tempi] == [t.tick for t in score.tempos]
    assert np.allclose([q for _, q in tempi], [t.qpm for t in score.tempos], atol=1e-5)
    assert [(p.get("numerator"), p.get("denominator")) for p in root.iter("TimeSignaturePoint")] == [
        (str(m.numerator), str(m.denominator)) for m in score.time_signatures
    ]


@pytest.mark.parametrize("odd", ["a\x07b", "a\x00b", "a\ud800b", "a\ufffeb"])
def test_names_with_characters_that_xml_cannot_hold(odd: str, tmp_path: Path) -> None:
    path, plain = tmp_path / "a.dawproject", tune()
    score = replace(plain, title=odd, tracks=tuple(replace(t, name=odd) for t in plain.tracks))
    write_dawproject(path, score, sections=[(0, odd)], comment=odd)
    root = read(path)
    check_schema(root)
    assert next(root.iter("Track")).get("name") == "ab"
    assert next(root.iter("Marker")).get("name") == "ab"
    with zipfile.ZipFile(path) as archive:
        metadata = ET.fromstring(archive.read("metadata.xml"))
    assert metadata.findtext("Title") == metadata.findtext("Comment") == "ab"


@pytest.mark.skipif(
    SCHEMAS is None, reason="MELODYGEN_DAWPROJECT_XSD is not set to a folder of the format's schemas"
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(score=rough_scores())
def test_the_published_schemas_hold(score: Score, tmp_path: Path) -> None:
    """Project.xsd and MetaData.xsd of github.com/bitwig/dawproject, which are no part of this repository."""
    from lxml import etree

    path, sound = tmp_path / "a.dawproject", Audio(np.zeros((2, 441), dtype=np.float32), 44_100)
    stems = {t.name or t.role: sound for t in score.tracks[:2]}
    write_dawproject(
        path, replace(score, title="a"), stems, [(0, "A")], "made by a test", "1", overwrite=True
    )
    for member, schema in (("project.xml", "Project.xsd"), ("metadata.xml", "MetaData.xsd")):
        with zipfile.ZipFile(path) as archive:
            document = etree.fromstring(archive.read(member))
        etree.XMLSchema(etree.parse(str(Path(str(SCHEMAS)) / schema))).assertValid(document)


def test_stems_and_markers(tmp_path: Path) -> None:
    score = replace(tune(), title="a & b")
    sound = Audio(np.full((2, 4410), 0.25, dtype=np.float32), 44_100)
    path = tmp_path / "a.dawproject"
    write_dawproject(path, score, {"melody": sound}, [(0, "A <verse>")], "made by a test")
    root = read(path)
    check_schema(root)
    assert [m.get("name") for m in root.iter("Marker")][:1] == ["A <verse>"]
    assert len(list(root.iter("Marker"))) == 1 + len(score.chords)
    with zipfile.ZipFile(path) as archive:
        name = root.find(".//File").get("path")  # type: ignore[union-attr]
        samples, rate = sf.read(io.BytesIO(archive.read(str(name))))
        assert rate == 44_100 and np.allclose(samples, 0.25, atol=1e-6)
        metadata = ET.fromstring(archive.read("metadata.xml"))
        for element in metadata.iter():
            check_rules(element)
        assert metadata.findtext("Comment") == "made by a test" and metadata.findtext("Title") == "a & b"
