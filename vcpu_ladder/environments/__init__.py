"""Where a stage runs. Siblings behind ``base.Environment``: native, and later compose."""
