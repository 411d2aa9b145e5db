"""What cart needs to know besides every service's settings."""

from datetime import timedelta

from pydantic import Field

from services.cart.domain.abandoning import ABANDONED_AFTER
from shared.service.settings import Settings


class CartSettings(Settings):
    """Prices and shipping are data: PUT /pricing-policy."""

    abandoned_after: timedelta = Field(
        ABANDONED_AFTER,
        gt=timedelta(0),
        description="a cart with items is abandoned after so long without a change; seconds or ISO 8601",
    )
