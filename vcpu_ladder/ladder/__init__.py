"""From a ladder file to stages with nothing left to look up."""
