"""The fixture of the seven steps, for every test in this folder."""

from tests.fakes import service

__all__ = ["service"]
