"""The command `nital`; the processes that it starts have small views, which take no time."""

if __name__ == "__main__":
    from nital.commands.cli import main

    main()
elif __name__ == "__mp_main__":  # what multiprocessing calls this file in the processes started
    from nital.fast import view

    view.VIEW_PIXELS = 2**14
