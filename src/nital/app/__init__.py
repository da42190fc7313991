"""The local page: `nital app`. Each folder imports from those above it only.

    work/       off the event loop: a process that computes, and what it does
        worker, tiles, fields, live, tasks, keeping
    state/      sessions: their micrographs, models and decisions, on the disk
        field, decisions, bench_file, bench, assignment, workers, session, desk
    page/       what is seen in the browser, on one tab
        viewer, uploader, view, messages, progress, picture, panels/, page
    server/     the addresses, what is let in, and the start
        guard, uploads, downloads, routes, server

No module of work or state knows a web server; none of page computes anything.
"""
