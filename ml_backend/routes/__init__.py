"""What Label Studio calls, a module a route."""
