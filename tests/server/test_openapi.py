"""All that the OpenAPI description allows is asked, a few times each: no answer is a fault of the server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

NOT_ASKED = re.compile(r"/v1/live/(start|events)|/v1/play$|/events$|/v1/library/map")
"""What would start to play, streams without end, or takes seconds each time; their own tests ask them."""
EXAMPLES = 3


def test_no_answer_is_a_fault_of_the_server(client: TestClient) -> None:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if NOT_ASKED.search(operation.path):
            continue

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            if case.query and "wait" in case.query:
                case.query["wait"] = 0
            answer = client.request(**case.as_transport_kwargs(base_url=str(client.base_url)))
            assert answer.status_code < 500, (case.method, case.path, answer.text)
            assert answer.status_code < 400 or answer.json()["error"]

        ask()
        asked += 1
    assert asked > 25
