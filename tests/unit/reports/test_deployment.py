"""Where the gas of a creation goes, worked out by hand."""

from ballast.reports.deployment import Creation, Deployment, creation, lines


def test_creation_parts_add_up() -> None:
    # 33 bytes of creation code, 3 of them zero: 3 * 4 + 30 * 16 = 492, and two words of it: 4
    found = creation("margin", bytes(3) + b"\1" * 30, 10, 60_000)
    # 10 bytes deployed: 2,000; a creation is 53,000; what is left of 60,000 the constructor did
    assert found == Creation("margin", size=10, gas=60_000, deposit=2_000, data=496, running=4_504)


def test_lines_say_what_code_costs_at_least() -> None:
    one = Creation("margin", size=100_000, gas=22_000_000, deposit=20_000_000, data=1_600_000, running=347_000)
    page = "\n".join(lines(Deployment([one], {"clearinghouse: set margin": 50_000}, 2.0, 7, 0.5)))
    assert "1 contracts, 2 transactions, 22.1 M gas" in page  # 22,050,000
    assert "A byte of code costs 216 gas" in page  # 21,600,000 / 100,000
    assert "at most 116 kB; there are 100 kB" in page  # 25,000,000 / 216
