"""The panels: the five steps beside the picture. None of them knows another, or the page."""
