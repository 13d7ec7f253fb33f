"""PostgreSQL, Redis and Kafka on this machine, for tests and measurements; never for keeps."""
