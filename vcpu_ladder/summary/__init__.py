"""From records to rows to tables. Only reads files, so a report works on any machine."""
