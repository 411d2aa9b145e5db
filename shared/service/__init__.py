"""How a process of a service runs: settings, logs, metrics, actors, problems, health."""
