"""The forms in which regions store masks, one module per form: from its JSON to pixels and back."""
