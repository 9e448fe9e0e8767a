"""Climb a ladder of one-change stages with one FastAPI service on one vCPU."""
