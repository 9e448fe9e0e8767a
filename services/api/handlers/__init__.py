"""The six endpoints, written twice: ``sync_handlers`` and ``async_handlers`` are twins.

They differ only by ``async``, ``await`` and the awaiting database and client; a test
compares their syntax trees. ``blocking`` runs the sync ones inside ``async def``.
"""
