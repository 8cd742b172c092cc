"""The service around the model: Label Studio, HTTP, the queue, the database and the command line.

Each package is one step of the loop and may import only what stands below it; pyproject.toml holds the order,
`docs/design.md` the reasons."""
