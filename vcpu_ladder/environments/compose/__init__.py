"""Containers on this machine's Docker engine, as compose.yaml describes them."""
