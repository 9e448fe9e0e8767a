"""The fixture of the seven steps, for every test of this folder."""

from tests.fakes import service

__all__ = ["service"]
