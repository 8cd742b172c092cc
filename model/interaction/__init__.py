"""Interaction: a mask is corrected by marks on its image."""
