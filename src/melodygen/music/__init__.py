"""Music as immutable data: scores, harmony, instruments, units. No input or output."""
