"""The contract of a service's memory and of the broker: one suite, run against the real ones and against the
in-memory ones that the simulation stands on."""
