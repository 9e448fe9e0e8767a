"""From records to rows to tables. Reads files only, so a report works on any machine."""
