"""The images of tasks: where they are, how they are fetched safely, and the cache that keeps them."""
