"""Personal data inside events: an opaque sealed text that no decision reads.

The format is `v1.<subject>.<nonce>.<ciphertext>`; sealing and opening need the key and live in
`shared.service.vault`. A pure core only passes a Sealed on.
"""

from typing import NewType

Sealed = NewType("Sealed", str)
