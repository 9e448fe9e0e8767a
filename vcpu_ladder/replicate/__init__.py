"""All published ladders at once: what to run, and what reproduces."""
