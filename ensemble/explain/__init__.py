"""Why one event got its score, feature by feature. Each method is one file."""
