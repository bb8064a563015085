from __future__ import annotations

import threading

import pytest
from pieces import tune

from melodygen.errors import RenderError
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.rendering.deferred import DeferredRenderer


def test_it_loads_once_when_it_is_needed_and_renders_the_same() -> None:
    loaded, may_go_on = [], threading.Event()

    def load() -> AdditiveRenderer:
        may_go_on.wait(10)
        loaded.append(1)
        return AdditiveRenderer(None)

    deferred = DeferredRenderer(load)
    assert not loaded
    deferred.load_soon()
    assert not loaded, "it does not wait"
    may_go_on.set()
    score = tune()
    sound = deferred.render(score, 22_050, "draft")
    assert (sound.samples == AdditiveRenderer(None).render(score, 22_050, "draft").samples).all()
    assert deferred.renderer_id == AdditiveRenderer(None).renderer_id and loaded == [1]


def test_what_fails_while_nobody_waits_is_told_to_who_needs_it(capfd: pytest.CaptureFixture[str]) -> None:
    tried = threading.Event()

    def load() -> AdditiveRenderer:
        tried.set()
        raise RenderError("no soundfont")

    deferred = DeferredRenderer(load)
    deferred.load_soon()
    assert tried.wait(5)
    with pytest.raises(RenderError, match="no soundfont"):
        deferred.render(tune(), 22_050, "draft")
    assert capfd.readouterr().err == "", "no traceback of a thread"
