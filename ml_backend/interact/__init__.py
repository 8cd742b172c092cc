"""Interact: prompts of an annotator's page in, mended regions out."""
