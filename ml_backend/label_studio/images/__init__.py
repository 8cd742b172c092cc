"""The images of tasks: resolving their addresses, fetching them safely, and caching them."""
