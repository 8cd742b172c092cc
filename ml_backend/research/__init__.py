"""Research: options for which docs/science.md found no benefit, each off unless its setting asks for it."""
