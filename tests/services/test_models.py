"""What a command loads, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from fakeband import Beeper, Judge, Writer

from melodygen.rendering.deferred import DeferredRenderer
from melodygen.services import models
from melodygen.services.models import ModelNames, load_models


def test_no_import_runs_beside_that_of_the_renderers_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both import parts of scipy; side by side one of them found it half made, in one of some forty commands."""
    order: list[str] = []

    def noted(name: str, value: Any) -> Any:
        def load(*_: object) -> Any:
            order.append(name)
            return value

        return load

    monkeypatch.setattr(models, "load_generator", noted("generator", Writer()))
    monkeypatch.setattr(models, "load_classifier", noted("classifier", Judge()))
    monkeypatch.setattr(models, "load_renderer", noted("renderer", Beeper()))
    monkeypatch.setattr(DeferredRenderer, "load_soon", noted("thread", None))
    load_models(ModelNames(), renderer_soon=True)
    assert order == ["generator", "classifier", "thread"]
    order.clear()
    load_models(ModelNames())
    assert sorted(order) == ["classifier", "generator", "renderer"]
