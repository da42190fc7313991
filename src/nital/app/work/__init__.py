"""The work of the page, done off the event loop in processes of their own."""
