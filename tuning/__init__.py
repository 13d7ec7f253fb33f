"""Makes model versions: synthetic events, training data, search, promotion. Never serves."""
