"""Figures against arithmetic: which rows of a benchmark's table cannot be, and which limit explains which."""
