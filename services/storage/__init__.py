"""What outlives a process: verdicts, alerts, audit lines. The only place that knows SQL."""
