"""The published studies' endpoints, on their published paths: one module a study, siblings.

``catalog`` says which paths there are and what is behind each; ``routers`` makes the study of a path.
The handlers keep the studies' shape, so that the studies' own scripts run unchanged against them.
"""
