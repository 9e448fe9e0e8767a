"""How long our seed takes compared with the published SQL, on the same machine in one session."""
