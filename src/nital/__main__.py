"""python -m nital: the command line."""

from nital.commands.cli import main

main()
