"""Containers of this machine's Docker engine, by compose.yaml."""
