"""Imaging: encoded images to grey pixels, to the network's canvas, and masks back to the image."""
