"""Delivers the stored webhooks, signed, at least once: each is sent again until the shop answers with 2xx.

Webhooks of one intent are sent in order as long as the shop accepts them; nothing else is promised.
"""

import asyncio
import hashlib
import hmac
import time
from itertools import groupby
from urllib.parse import urlsplit

from sandbox.provider.store import Row, Store
from shared.service.http_client import HttpClient

SIGNATURE_HEADER = "Provider-Signature"
FIRST_RETRY, LONGEST_RETRY = 0.2, 30.0
"""Seconds until an unanswered webhook is sent again, doubled each time."""


def signature(secret: str, body: bytes, at: int) -> str:
    """`t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`: the receiver checks both the sum and the age."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class Webhooks:
    """The sender. `pending` counts what is not delivered yet."""

    def __init__(self, store: Store, url: str, secret: str) -> None:
        self._store = store
        self.url = url
        self._path = urlsplit(url).path or "/"
        self._secret = secret

    def pending(self) -> int:
        """Webhooks still to be delivered, whenever they are due."""
        row = self._store.one("SELECT count(*) AS n FROM webhooks WHERE next_at IS NOT NULL")
        return int(row["n"]) if row else 0

    async def deliver_due(self, client: HttpClient) -> int:
        """Try everything that is due now, once; how many there were."""
        due = self._store.all(
            "SELECT * FROM webhooks WHERE next_at <= ? ORDER BY intent_id, seq LIMIT 64", time.time()
        )
        by_intent = [list(rows) for _, rows in groupby(due, key=lambda row: row["intent_id"])]
        await asyncio.gather(*(self._deliver(client, rows) for rows in by_intent))
        return len(due)

    async def _deliver(self, client: HttpClient, rows: list[Row]) -> None:
        for row in rows:
            for sent in range(1, row["copies"] + 1):
                if not await self._post(client, row["body"].encode()):
                    self._put_off(row, copies=row["copies"] - sent + 1)
                    return
            with self._store.transaction():
                self._store.update("webhooks", {"seq": row["seq"]}, copies=0, next_at=None)

    async def _post(self, client: HttpClient, body: bytes) -> bool:
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: signature(self._secret, body, int(time.time())),
        }
        try:
            answer = await client.request("POST", self._path, headers=headers, body=body)
        except (OSError, TimeoutError):
            return False
        return answer.is_success

    def _put_off(self, row: Row, copies: int) -> None:
        pause = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(row["attempts"], 20))
        with self._store.transaction():
            self._store.update(
                "webhooks",
                {"seq": row["seq"]},
                copies=copies,
                attempts=row["attempts"] + 1,
                next_at=time.time() + pause,
            )
