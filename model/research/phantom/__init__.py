"""Synthetic hand radiographs with exact bone masks: pictures to try everything on that belong to nobody."""

from model.research.phantom.phantoms import Phantom, PhantomError, draw_phantom, natural_size, write_phantoms

__all__ = ["Phantom", "PhantomError", "draw_phantom", "natural_size", "write_phantoms"]
