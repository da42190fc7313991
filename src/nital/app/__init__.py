"""The local page: `nital app`."""
