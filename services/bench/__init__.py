"""What ``ztad bench`` is made of: load, accounting, faults, and the table beside the goals."""
