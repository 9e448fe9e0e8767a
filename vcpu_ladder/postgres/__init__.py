"""PostgreSQL: a server of our own, its data made from a seed, and a fresh copy of it before every run."""
