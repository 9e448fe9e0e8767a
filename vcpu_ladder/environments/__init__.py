"""Where a stage runs: siblings that implement ``base.Environment``, one entry each in ``registry``."""
