"""The pricing policy over HTTP: anyone may read the rules, staff their coupons, admins adopt others."""

from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, StrictInt

from services.cart.commands import execute
from services.cart.domain.coupons import Coupon, as_code
from services.cart.domain.pricing import PRICING, PRICING_STREAM, AdoptPolicy, PolicyAdopted, Pricing
from services.cart.domain.rules import MOST_LINES, PricingRules, ShippingMethod, TaxRule
from services.cart.readmodels.coupon_uses import uses_of_code
from services.cart.readmodels.pricing_policies import PRICING_POLICIES, policy_at
from shared.domain import Rejected, key_of
from shared.events.envelope import Actor
from shared.service.auth import ADMINS, STAFF, Authenticator
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.problems import Problem
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

MOST_AT_ONCE = 1000
BEFORE_ALL = UUID(int=0)
Instant = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))
]


class PolicyBody(BaseModel):
    """The pricing rules, complete, and from when on they hold (None, or an instant that is past: now).

    `version` may be left in where the body is what was read; it means nothing.
    """

    title: str | None = None
    source: str | None = None
    as_of: date | None = None
    currencies: tuple[str, ...]
    home_country: str
    prices_include_tax: bool
    tax_rules: tuple[TaxRule, ...]
    shipping_methods: tuple[ShippingMethod, ...]
    coupons: tuple[Coupon, ...] = ()
    line_limit: StrictInt = MOST_LINES
    effective_from: Instant | None = None
    version: int | None = None

    def rules(self) -> PricingRules:
        """The rules as the pure core knows them."""
        return PricingRules(**{field.name: getattr(self, field.name) for field in fields(PricingRules)})


def routes(store: Store, auth: Authenticator) -> APIRouter:
    """The routes of the pricing policy and of its coupons."""
    router = APIRouter(tags=["pricing"])
    staff = Depends(auth.require(STAFF))
    admins = Depends(auth.require(ADMINS))

    @router.put("/pricing-policy")
    async def adopt_policy(
        body: PolicyBody,
        request: Request,
        check_only: Annotated[bool, Query()] = False,
        actor: Actor = admins,
    ) -> Response:
        """Price by these rules from now, or from `effective_from`, on; what is planned for later stays.

        `check_only`: nothing changes, and the answer says whether it would.
        """
        if unknown := list(_unknown(await request.json(), body.model_dump(mode="json"))):
            errors = [{"pointer": place, "detail": "There is no such member."} for place in unknown]
            raise Problem(422, "invalid_request", "Some members are unknown; see errors.", errors=errors)

        async def work(uow: UnitOfWork) -> Outcome:
            key = key_of(PRICING_STREAM)
            before = await uow.state(PRICING, key)
            require_version(request, uow.version(PRICING, key))
            begins = max(body.effective_from or uow.now, uow.now)
            command = AdoptPolicy(document=body.rules(), effective_from=begins, adopted_by=actor.id)
            if check_only:
                changed = bool(PRICING.decide(before, command))
                return Outcome(body={"changed": changed, "effective_from": begins})
            await execute(uow, command)
            pricing: Pricing | None = await uow.state(PRICING, key)
            assert pricing is not None
            holding = pricing.at(begins)
            assert holding is not None
            return Outcome(body=_policy(holding), version=holding.version)

        return await run_command(request, store, actor, work)

    @router.get("/pricing-policy")
    async def policy(request: Request, at: Annotated[Instant | None, Query()] = None) -> Response:
        """The rules that hold now, or `at` an instant; with their coupons for staff only."""
        reader = auth.actor_of(request)
        async with store.session() as session:
            adopted = await policy_at(session, at or store.clock())
        if adopted is None:
            raise Rejected("unknown_policy", "No pricing policy is in force then.")
        body = _policy(adopted)
        if reader is None or reader.kind not in STAFF:
            del body["coupons"]
        return respond(Outcome(body=body, version=adopted.version))

    @router.get("/pricing-policies")
    async def policies(
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 100,
        _actor: Actor = staff,
    ) -> Response:
        """Which versions were adopted, by whom and from when on; continue with `after` = the last version."""
        async with store.session() as session:
            rows = await PRICING_POLICIES.query(
                session, "version > $1 ORDER BY version LIMIT $2", after, limit
            )
        return respond(
            Outcome(
                body=[
                    {
                        "version": row.version,
                        "title": row.document.title,
                        "effective_from": row.effective_from,
                        "adopted_by": row.adopted_by,
                    }
                    for row in rows
                ]
            )
        )

    @router.get("/coupons/{code}/uses")
    async def coupon_uses(
        code: str,
        after: UUID = BEFORE_ALL,
        limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 100,
        _actor: Actor = staff,
    ) -> Response:
        """The orders that were bought with a coupon; continue with `after` = the last order."""
        async with store.session() as session:
            rows = await uses_of_code(session, as_code(code.replace("\0", "")), after, limit)
        return respond(Outcome(body=[asdict(row) for row in rows]))

    return router


def _policy(adopted: PolicyAdopted) -> dict[str, Any]:
    return {
        "version": adopted.version,
        "effective_from": adopted.effective_from,
        **asdict(adopted.document),
    }


def _unknown(given: Any, understood: Any, place: str = "#") -> Iterator[str]:
    """Where a document has members that were not understood: a misspelt one would silently mean nothing."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for name, value in given.items():
            if name in understood:
                yield from _unknown(value, understood[name], f"{place}/{name}")
            else:
                yield f"{place}/{name}"
    if isinstance(given, list) and isinstance(understood, list):
        for n, (one, other) in enumerate(zip(given, understood, strict=False)):
            yield from _unknown(one, other, f"{place}/{n}")
