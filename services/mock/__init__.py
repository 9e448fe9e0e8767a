"""The delayed upstream: answers after a long-tailed delay that a key can fix."""
