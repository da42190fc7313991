"""Results: what a segmentation is: labels, classes, their tree, criteria, agreement, phases."""
