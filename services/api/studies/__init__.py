"""The published studies' endpoints, on their published paths: one module per study.

``services.contract.endpoints`` lists the paths and what is behind each; ``routers`` makes the study of a
path. The handlers keep the studies' form, so that the studies' own scripts run against them unchanged.
"""
