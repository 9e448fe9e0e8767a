"""How long our seed takes beside the published SQL, on the same machine in one session."""
