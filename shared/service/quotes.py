"""Signs price promises and checks them: cart makes them, and whoever accepts one in a command looks here.

The signature covers the quote and its currency, which is not in it: amounts are in that of a cart or order.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter

from shared.domain import Rejected
from shared.events.common import Quote

_QUOTE: Final = TypeAdapter(Quote)


class QuoteKeys:
    """The keys that are live: the first signs, a quote of any of them is good. Raises ValueError for none."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("there is no key to sign quotes with")
        self._keys = tuple(keys)

    def signed(self, quote: Quote, currency: str) -> Quote:
        """The quote with its signature, whatever it had before."""
        return replace(quote, signature=_signature(self._keys[0], quote, currency))

    def check(self, quote: Quote, currency: str) -> None:
        """Raises Rejected `invalid_quote` unless the shop made this promise, in this currency.

        Whether it still holds is for the core that accepts it to decide: `valid_until` is part of it.
        """
        given = quote.signature.encode()
        good = (_signature(key, quote, currency).encode() for key in self._keys)
        if not any(hmac.compare_digest(each, given) for each in good):
            raise Rejected("invalid_quote", "The quote is not one that this shop made.")


def _signature(key: bytes, quote: Quote, currency: str) -> str:
    """Members at their defaults are left out, so that one more of them changes no signature."""
    content = _QUOTE.dump_json(replace(quote, signature=""), exclude_defaults=True)
    return "v1." + hmac.new(key, b"quote " + currency.encode() + b"\n" + content, hashlib.sha256).hexdigest()
