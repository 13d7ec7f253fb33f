"""The only place that knows Ray Serve, HTTP and OpenTelemetry: it wires the other folders."""
