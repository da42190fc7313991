"""What is seen: the picture, the panels, and the page that holds them."""
