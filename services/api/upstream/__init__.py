"""Clients of the delayed upstream: alternatives with one interface, blocking and awaiting."""
