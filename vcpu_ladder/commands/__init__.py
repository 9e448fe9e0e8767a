"""The commands: the only place that prints, exits, locks or cleans up."""
