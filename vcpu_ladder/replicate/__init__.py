"""All published ladders at once: what to run, and which results reproduce."""
