"""Training: functions that take data and give records; files are the caller's."""
