"""Database access: alternatives with one interface, blocking and awaiting.

A request opens a unit; a unit opens groups of statements. The ``hold`` knob decides whether the
groups of a unit share one session, which keeps its connection from the first statement to the end
of the request, or whether each group has its own.
"""
