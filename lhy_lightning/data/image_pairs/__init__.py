"""Two sides of images, with or without partners."""
