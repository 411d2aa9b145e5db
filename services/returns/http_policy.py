"""The return policy over HTTP: everybody may read it, an admin may adopt another one."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from services.returns.answers import policy_answer, written
from services.returns.commands import execute, policy_of
from services.returns.domain.policy import DEFAULT_TERMS, KEY, RETURN_POLICY, AdoptReturnPolicy, ReturnTerms
from services.returns.readmodels.return_policies import RETURN_POLICIES, current
from shared.events.common import Money
from shared.events.envelope import Actor
from shared.events.returns import PolicyText, RefundShipping
from shared.service.auth import ADMINS, Authenticator
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.fields import Currency, ShortText
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

PageText = Annotated[str, StringConstraints(max_length=20_000, pattern=r"^[^\x00]*$")]
FAR_OUT = 10**15
"""Amounts beyond this are no money; whether one within is sensible is the domain's to say."""


class Amount(BaseModel):
    """Minor units of a currency."""

    amount: int = Field(ge=-FAR_OUT, le=FAR_OUT)
    currency: Currency


class Text(BaseModel):
    """The policy in words."""

    it: PageText = ""
    pt: PageText = ""
    en: PageText


class Terms(BaseModel):
    """A whole policy; what is left out is as in the default one."""

    window_days: int = DEFAULT_TERMS.window_days
    exclusions: list[ShortText] = Field(list(DEFAULT_TERMS.exclusions), max_length=1000)
    restocking_fee_bp: int = DEFAULT_TERMS.restocking_fee_bp
    return_shipping_fee: list[Amount] = Field([], max_length=200)
    refund_shipping: RefundShipping = DEFAULT_TERMS.refund_shipping
    answer_days: int = DEFAULT_TERMS.answer_days
    ship_days: int = DEFAULT_TERMS.ship_days
    receive_days: int = DEFAULT_TERMS.receive_days
    refund_days: int = DEFAULT_TERMS.refund_days
    dual_control_above: list[Amount] | None = Field(None, max_length=200)
    auto_refund: bool = DEFAULT_TERMS.auto_refund
    text: Text | None = None

    def terms(self) -> ReturnTerms:
        """The terms that the domain knows."""
        above = self.dual_control_above
        return ReturnTerms(
            window_days=self.window_days,
            exclusions=tuple(self.exclusions),
            restocking_fee_bp=self.restocking_fee_bp,
            return_shipping_fee=_money(self.return_shipping_fee),
            refund_shipping=self.refund_shipping,
            answer_days=self.answer_days,
            ship_days=self.ship_days,
            receive_days=self.receive_days,
            refund_days=self.refund_days,
            dual_control_above=DEFAULT_TERMS.dual_control_above if above is None else _money(above),
            auto_refund=self.auto_refund,
            text=PolicyText(**self.text.model_dump()) if self.text else DEFAULT_TERMS.text,
        )


def policy_routes(store: Store, auth: Authenticator) -> APIRouter:
    """The routes of the return policy."""
    router = APIRouter(tags=["return policy"])
    admin = Depends(auth.require(ADMINS))

    @router.get("/return-policy")
    async def read_policy() -> Response:
        """The policy in force."""
        async with store.session() as session:
            row = await current(session)
        return respond(Outcome(body=policy_answer(row), version=row.version))

    @router.put("/return-policy")
    async def adopt_policy(terms: Terms, request: Request, actor: Actor = admin) -> Response:
        """Adopt a policy; returns that were requested before stay under theirs."""

        async def work(uow: UnitOfWork) -> Outcome:
            await policy_of(uow)
            require_version(request, uow.version(RETURN_POLICY, KEY))
            await execute(uow, AdoptReturnPolicy(terms=terms.terms(), now=uow.now))
            adopted = (await policy_of(uow)).current
            row = await written(uow, RETURN_POLICIES, adopted.policy_version)
            return Outcome(body=policy_answer(row), version=row.version)

        return await run_command(request, store, actor, work)

    return router


def _money(amounts: list[Amount]) -> tuple[Money, ...]:
    return tuple(Money(amount=each.amount, currency=each.currency) for each in amounts)
