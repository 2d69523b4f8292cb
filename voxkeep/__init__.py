"""The front door: command line, settings from YAML, demo."""
