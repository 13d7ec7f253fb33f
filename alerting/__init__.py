"""A verdict in, a delivered and remembered alert out."""
