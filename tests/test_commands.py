"""The table of commands names what exists."""

from medtune.commands import COMMANDS, config_of
from medtune.config import CommandConfig, Input
from medtune.reference import keys_of


def test_every_row_leads_to_a_config_of_a_command() -> None:
    assert all(issubclass(config_of(name), CommandConfig) for name in COMMANDS)


def test_every_config_belongs_to_one_command() -> None:
    assert len({command.config for command in COMMANDS.values()}) == len(COMMANDS)


def test_every_key_explains_itself() -> None:
    silent = [
        f"{name}.{key.name}" for name in COMMANDS for key in keys_of(config_of(name)) if not key.meaning
    ]
    assert silent == []


def test_every_command_says_in_a_line_what_comes_out() -> None:
    assert all(command.summary and len(command.summary) <= 65 for command in COMMANDS.values())


def test_every_command_reads_something() -> None:
    for name in COMMANDS:
        kinds = {key.kind for key in keys_of(config_of(name))}
        assert any("samples:…" in kind for kind in kinds), f"{name} has no {Input.__name__}"
