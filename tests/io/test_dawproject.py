"""Projects for DAWs: what a second reader of the ZIP and its XML finds is what the score holds."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from pieces import rough_scores, tune

from melodygen.audio.buffer import Audio
from melodygen.io.dawproject import write_dawproject
from melodygen.music.score import Score

ORDER = {
    "Project": ["Application", "Transport", "Structure", "Arrangement"],
    "Transport": ["Tempo", "TimeSignature"],
    "Arrangement": ["Lanes", "Markers", "TempoAutomation", "TimeSignatureAutomation"],
    "Points": ["Target", "IntegerPoint"],
    "TempoAutomation": ["Target", "RealPoint"],
    "TimeSignatureAutomation": ["Target", "TimeSignaturePoint"],
}
"""What the schema's sequences demand of the elements that are written."""


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
        if element.tag in ORDER:
            places = [ORDER[element.tag].index(child.tag) for child in element]
            assert places == sorted(places)


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
        assert "made by a test" in archive.read("metadata.xml").decode()
