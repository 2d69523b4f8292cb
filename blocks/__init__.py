"""The outside world: a Prefect block per kind of real system, its settings as fields, its few verbs as methods."""
