"""python -m nital: the command line."""

from nital.cli import main

main()
