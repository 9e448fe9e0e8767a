"""Clients of the delayed upstream: siblings with one interface, blocking and awaiting."""
