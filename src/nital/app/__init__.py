"""The local page: `nital app`.

    worker       a process that computes, with a queue and a stop
    tiles        pictures and maps of any size, as tiles
    fields       the micrographs of a session, and where their files are
    live         what is told and shown of work under way
    tasks        work that makes classes; keeping, work that is done with them
    bench        a session on the disk: micrographs, model, decisions
    assignment   fine classes dealt to phases by keys
    sessions     benches, their work, and who waits for it

    guard        only requests of its own pages
    uploads      files from a browser; uploader, where they are dropped
    viewer       the picture, drawn in the browser (viewer.js)
    panel        one of the five steps: open_, segment_, decide_, measure_ and keep_panel
    page         all of these, for one tab
    server       the addresses, and the start

The upper half knows no web server, the lower one computes nothing.
"""
