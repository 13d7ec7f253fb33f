"""A verdict in, a delivered and remembered alert out. Knows verdicts, not how they are made."""
