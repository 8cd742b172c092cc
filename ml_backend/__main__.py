"""`python -m ml_backend` is `dsal`."""

from ml_backend.cli import main

main()
