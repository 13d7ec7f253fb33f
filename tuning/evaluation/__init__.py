"""What ``ztad evaluate`` measures, one question a file; tuning/evaluate.py puts it together."""
