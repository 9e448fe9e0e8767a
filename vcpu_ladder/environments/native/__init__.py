"""Processes of this machine: no Docker, no root."""
