"""`orderflow simulate`: the five services in one process, under seeded faults, judged by every law."""
