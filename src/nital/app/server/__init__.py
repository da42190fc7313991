"""The server of the page: its addresses, its guard, and its start."""
