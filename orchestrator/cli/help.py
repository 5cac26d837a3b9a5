"""The output of `orch --help`: the verbs by purpose, each with its full first sentence. Imports only typer."""

from itertools import groupby
from typing import Any

from typer.core import TyperGroup

WHOLE = 1000
"""Maximum characters of a sentence; large enough that none is cut."""


class ByPurpose(TyperGroup):
    """Lists commands under the name of their help panel, in the order in which they were added."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [self.commands[name] for name in self.list_commands(ctx)]
        width = max(len(str(command.name)) for command in commands)
        for purpose, group in groupby(commands, key=lambda command: getattr(command, "rich_help_panel", None)):
            with formatter.section(purpose or "Commands"):
                formatter.write_dl(
                    [(f"{command.name:{width}}", command.get_short_help_str(WHOLE)) for command in group]
                )
