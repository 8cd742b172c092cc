"""Everything that knows the shapes and habits of Label Studio."""
