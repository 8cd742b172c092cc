"""The forms in which regions hold masks, one module a form: its JSON to pixels, and pixels to its JSON."""
