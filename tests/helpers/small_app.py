"""The command `nital`; the processes that it starts have small views, which take no time."""

if __name__ == "__main__":
    from nital.commands.cli import main

    main()
else:  # a process that it started imports this file by another name
    from nital.fast import view

    view.VIEW_PIXELS = 2**14
