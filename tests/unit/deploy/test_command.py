"""`ballast`: every command under one roof, with an example in its help and JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ballast.__main__ import COMMANDS, main


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from leaves(found, f"{name} {child}".strip())
    else:
        yield name, command


ALL = dict(leaves(main, ""))


def test_every_group_is_there() -> None:
    assert {name.split()[0] for name in ALL} == set(COMMANDS)
    assert {"lp", "trade", "gov", "keeper", "deploy", "verify", "status"} <= set(COMMANDS)
    listed = CliRunner().invoke(main, ["--help"])
    assert all(name in listed.output for name in COMMANDS)


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_an_example_and_json(name: str) -> None:
    command = ALL[name]
    result = CliRunner().invoke(main, [*name.split(), "--help"])
    assert result.exit_code == 0
    lines = [line.strip() for line in result.output.splitlines()]
    script = name.split()[0]
    example = any(line.startswith((f"ape run {script}", f"python -m scripts.{script}", "ballast ")) for line in lines)
    assert example, f"{name}: no example"
    assert any("--json" in option.opts for option in command.params), f"{name}: no --json"


def test_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(main, ["withdrawal"])
    assert result.exit_code == 2
    assert "No such command" in result.output
