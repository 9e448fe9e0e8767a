"""What a run leaves behind: records, events, and what may be compared. Runs nothing."""
