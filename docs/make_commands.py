"""Writes docs/commands.md from the command line itself, so that the two can't drift apart.

    python docs/make_commands.py

`tests/test_docs.py` fails where the page is out of date.
"""

from pathlib import Path

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
    made = app.generate_docs(usage_name="nital")
    return HEAD + made[made.index("\n## nital segment") + 1 :].rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
