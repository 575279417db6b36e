"""No transaction may cost more than its promise, or 2 % more than the table in docs/reports."""

import pytest

from ballast import reports


@pytest.mark.anvil
def test_measure_gas_every_scenario_stays_within_its_table() -> None:
    reports.compare_gas(reports.measure_gas())
