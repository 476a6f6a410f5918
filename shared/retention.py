"""How long records can be read again, and so how long what answers them is remembered."""

DAY_MS = 86_400_000
JOURNAL_RETENTION_DAYS = 180
"""Longer than an order lives, so that Redis can be rebuilt from it."""
INPUT_RETENTION_DAYS = 30
"""Longer than any outage that is repaired by waiting."""
SEGMENT_DAYS = 7
"""Kafka deletes whole segments, by default of a week: records outlive their retention by it."""
JOURNAL_READABLE_MS = (JOURNAL_RETENTION_DAYS + SEGMENT_DAYS) * DAY_MS
INPUT_READABLE_MS = (INPUT_RETENTION_DAYS + SEGMENT_DAYS) * DAY_MS
