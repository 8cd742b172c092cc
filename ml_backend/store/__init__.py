"""What survives any process: the database and the weights."""
