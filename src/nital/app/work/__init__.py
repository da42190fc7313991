"""What the page has done off the event loop, in processes of its own."""
