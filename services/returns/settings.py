"""Settings of returns: those of every service, and what the shop leaves to people."""

from pydantic import Field

from shared.service.settings import Settings


class ReturnsSettings(Settings):
    """The policy itself (periods, fees, thresholds) is data: PUT /return-policy."""

    consumer_gather_s: float = Field(0.25, gt=0, le=10, description="nobody sends back at once")
    auto_approve_returns: bool = Field(True, description="what the policy allows is approved at once")
