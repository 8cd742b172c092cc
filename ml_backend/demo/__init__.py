"""`dsal demo` runs the paper's loop in a real Label Studio, with a simulated annotator."""
