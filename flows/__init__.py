"""The order of things: one file a deployment, named by its module path (`flows.backup.backup`)."""
