"""Worker processes: every item has its result, and one that ends its process is named."""

from __future__ import annotations

import pytest
from crashing import begin, waited

from melodygen.worker_pool import in_processes


@pytest.mark.parametrize("in_order", [True, False])
def test_an_item_that_ends_its_process_is_named_and_the_rest_goes_on(in_order: bool) -> None:
    items = [3.0, 0.0, -1.0, 1.0, 2.0]
    found = list(in_processes(items, waited, 2, begin, (0.01,), lambda item: f"{item} crashed", in_order))
    expected = [3.0, 0.0, "-1.0 crashed", 1.0, 2.0]
    assert found == expected if in_order else sorted(map(str, found)) == sorted(map(str, expected))
