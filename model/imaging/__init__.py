"""Decoding to grey pixels, preprocessing to the network's canvas, and mapping results back to the image."""
