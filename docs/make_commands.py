"""Writes docs/commands.md from the command line itself, so that the two can't drift apart.

    python docs/make_commands.py

`tests/test_docs.py` fails where the page is out of date.
"""

from pathlib import Path
from typing import Any

import typer

from nital.commands.cli import app

PAGE = Path(__file__).parent / "commands.md"

HEAD = """# Commands

Every command prints its results to stdout, and notes, errors and progress to stderr; progress bars
show on a terminal only. Errors name the value, the problem and the remedy; `--debug`, anywhere,
shows the traceback as well. Exit codes: 0, done; 1, some of several images failed, or something
unexpected happened; 2, bad input, nothing done; 130 and 143, stopped by the user.

<!-- Written by docs/make_commands.py; change the command line, not this page. -->
"""


def page() -> str:
    """The whole page, as Markdown."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return HEAD + "".join(section(name, command) for name, command in commands.items())


def section(name: str, command: Any) -> str:
    """One command: what it does, and a table of its arguments and options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(["nital", name, *(argument.metavar for argument in arguments), "[OPTIONS]"])
    prose = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))
    lines = [f"\n## nital {name}\n", f"`{usage}`\n", f"{prose}\n", "| | | |", "|---|---|---|"]
    lines += [row(f"`{each.metavar}`", each) for each in arguments]
    lines += [row(", ".join(f"`{flag}`" for flag in each.opts), each) for each in options]
    return "\n".join(lines) + "\n"


def row(names: str, parameter: Any) -> str:
    """A line of the table: names, meaning, default."""
    default = parameter.show_default if isinstance(parameter.show_default, str) else ""
    if not (
        default or parameter.required or parameter.default is None or parameter.default is False
    ):
        default = f"`{parameter.default}`"
    return f"| {names} | {parameter.help} | {'required' if parameter.required else default} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
