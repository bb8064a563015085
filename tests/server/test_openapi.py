"""All that the OpenAPI description allows, and some that it does not, is asked: no answer is a fault of the server."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

NOT_ASKED = r"/v1/live/(start|events)|/v1/play|/events$|/v1/library/map"
"""What would start to play, streams without end, or takes seconds each time; their own tests ask them."""
schema = schemathesis.pytest.from_fixture("described")


@pytest.fixture
def described(client: TestClient) -> Any:
    return schemathesis.openapi.from_dict(client.get("/openapi.json").json()).exclude(path_regex=NOT_ASKED)


@schema.parametrize()
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_a_fault_of_the_server(case: Any, client: TestClient) -> None:
    case.query = {**(case.query or {}), "wait": 0} if "wait" in (case.query or {}) else case.query
    answer = client.request(**case.as_transport_kwargs(base_url=str(client.base_url)))
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["error"]
