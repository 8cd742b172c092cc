"""Phantoms: synthetic hand radiographs with exact masks, test data without patients (docs/phantom.md)."""

from model.research.phantom.phantoms import Phantom, PhantomError, draw_phantom, natural_size, write_phantoms

__all__ = ["Phantom", "PhantomError", "draw_phantom", "natural_size", "write_phantoms"]
