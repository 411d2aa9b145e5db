"""How many examples Hypothesis tries: few and the same ones, or with ORDERFLOW_HYPOTHESIS=deep many new."""

import os

from hypothesis import HealthCheck, Phase, settings

DEEP = os.environ.get("ORDERFLOW_HYPOTHESIS") == "deep"
DEEPER = 20
"""How many times as many examples a deep run tries."""


def examples(number: int, **more: object) -> settings:
    """Settings of a test over real servers: `number` examples, the same in every run but a deep one."""
    return settings(
        max_examples=number * DEEPER if DEEP else number,
        derandomize=not DEEP,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        **more,  # type: ignore[arg-type]
    )
