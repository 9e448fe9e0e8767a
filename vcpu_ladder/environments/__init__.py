"""Where a stage runs: siblings behind ``base.Environment``, one entry each in ``registry``."""
