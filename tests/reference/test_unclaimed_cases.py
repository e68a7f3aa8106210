"""Cases whose network is not built yet show up in the report, by name."""

import pytest


def test_a_case_of_a_network_that_is_not_built_is_named(unclaimed_case):
    pytest.skip(f"{unclaimed_case.name}: no test knows this kind; its network is not built yet")
