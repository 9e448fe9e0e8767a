"""The shop's data: generated once, deterministically, and restored before every run."""
