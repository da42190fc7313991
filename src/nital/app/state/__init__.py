"""The state of the page: sessions, and what was decided in them. It knows no widget."""
