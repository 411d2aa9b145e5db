"""How hard the property tests try: `ci` by default, always alike; ORDERFLOW_HYPOTHESIS=deep hunts for bugs.

    ORDERFLOW_HYPOTHESIS=deep .venv/bin/pytest tests/property -n 2 --timeout 0

Each machine and each property takes its settings from here, so no other test changes its ways.
"""

import os
from typing import Final

from hypothesis import HealthCheck, settings

_QUIET: Final = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

settings.register_profile(
    "orderflow-ci",
    max_examples=100,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=_QUIET,
)
settings.register_profile(
    "orderflow-deep",
    max_examples=4_000,
    stateful_step_count=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=_QUIET,
)

PROFILE: Final = settings.get_profile(f"orderflow-{os.environ.get('ORDERFLOW_HYPOTHESIS', 'ci')}")
"""The settings of every machine and property of this folder."""
