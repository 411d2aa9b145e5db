"""Seals and opens personal data: AES-256-GCM under a key derived per subject from the key-encryption key."""

import base64
import hashlib
import hmac
import os
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.domain import Sealed

_NONCE_BYTES = 12


class CannotOpen(Exception):  # noqa: N818
    """The sealed text is damaged, of another field or subject, or sealed under another key."""


class Vault:
    """Seals texts as `v1.<subject>.<nonce>.<ciphertext>`; subject and field name are authenticated."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = lru_cache(maxsize=4096)(self._derive)

    def seal(self, subject: UUID, field: str, text: str) -> Sealed:
        """`text` so that only holders of the key can read it, and only as this `field` of this `subject`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher(str(subject)).encrypt(nonce, text.encode(), _associated(str(subject), field))
        return Sealed(f"v1.{subject}.{_encode(nonce)}.{_encode(sealed)}")

    def open(self, sealed: Sealed, field: str) -> str:
        """The text that was sealed as `field`. Raises CannotOpen."""
        try:
            version, subject, nonce, ciphertext = sealed.split(".")
            if version != "v1":
                raise CannotOpen(f"sealed as {version}, which this service does not know")
            plain = self._cipher(subject).decrypt(
                _decode(nonce), _decode(ciphertext), _associated(subject, field)
            )
        except (ValueError, InvalidTag) as error:
            raise CannotOpen(f"not a sealed {field} of this key") from error
        return plain.decode()

    def fingerprint(self, text: str) -> str:
        """A keyed hash that is equal for equal texts, whatever their case, and says nothing about them."""
        return hmac.new(
            self._key, b"fingerprint:" + text.strip().lower().encode(), hashlib.sha256
        ).hexdigest()

    def _derive(self, subject: str) -> AESGCM:
        return AESGCM(
            HKDF(
                algorithm=hashes.SHA256(), length=32, salt=None, info=f"orderflow v1 {subject}".encode()
            ).derive(self._key)
        )


def _associated(subject: str, field: str) -> bytes:
    return f"{subject}|{field}".encode()


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
