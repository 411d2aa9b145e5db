"""The return policy that the shop promises: every version ever adopted, the last one being in force."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from shared.domain import Decider, Rejected
from shared.events.common import Money
from shared.events.returns import Exclusion, PolicyText, RefundShipping, ReturnPolicyAdopted, ReturnReason

KEY = "shop"
"""The policy's stream is `returnpolicy-shop`: one shop, one policy."""
MERCHANTS_FAULT = frozenset({ReturnReason.DEFECTIVE, ReturnReason.NOT_AS_DESCRIBED, ReturnReason.WRONG_ITEM})
"""Reasons that cost the customer nothing and that no exclusion stands against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnTerms:
    """What an admin can choose; the fields mean what they mean in ReturnPolicyAdopted."""

    window_days: int = 30
    exclusions: tuple[str, ...] = (Exclusion.FINAL_SALE, Exclusion.CUSTOM, Exclusion.DIGITAL)
    restocking_fee_bp: int = 0
    return_shipping_fee: tuple[Money, ...] = ()
    refund_shipping: RefundShipping = RefundShipping.FULL_RETURN
    answer_days: int = 3
    ship_days: int = 14
    receive_days: int = 30
    refund_days: int = 14
    dual_control_above: tuple[Money, ...] = ()
    auto_refund: bool = True
    text: PolicyText


DEFAULT_TERMS = ReturnTerms(
    dual_control_above=tuple(Money(amount=50_000, currency=code) for code in ("EUR", "GBP", "USD")),
    text=PolicyText(
        it="Hai 30 giorni dalla consegna per restituire ciò che non fa per te. Rimborsiamo entro 14 giorni "
        "dall'arrivo della merce. Se l'errore è nostro, non paghi nulla.",
        pt="Tem 30 dias após a entrega para devolver o que não lhe serve. Reembolsamos em até 14 dias "
        "após a chegada dos artigos. Se o erro for nosso, não paga nada.",
        en="You have 30 days from delivery to send back what does not suit you. We refund within 14 days "
        "of receiving the goods. If the mistake was ours, you pay nothing.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptReturnPolicy:
    """Put terms into force from `now` on; adopting the terms that are in force changes nothing."""

    terms: ReturnTerms
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPolicy:
    """All versions, oldest first; never empty."""

    adopted: tuple[ReturnPolicyAdopted, ...]

    @property
    def current(self) -> ReturnPolicyAdopted:
        """The version in force."""
        return self.adopted[-1]

    def version(self, number: int) -> ReturnPolicyAdopted:
        """The version that a return was requested under. Raises LookupError if it never existed."""
        return {policy.policy_version: policy for policy in self.adopted}[number]


def money_in(amounts: tuple[Money, ...], currency: str) -> int:
    """The amount for a currency, 0 where the policy names none."""
    return next((money.amount for money in amounts if money.currency == currency), 0)


def decide(state: ReturnPolicy | None, command: AdoptReturnPolicy) -> list[ReturnPolicyAdopted]:
    """Refuses with invalid_policy, naming the field."""
    _check(command.terms)
    if state and _terms(state.current) == command.terms:
        return []
    terms = command.terms
    return [
        ReturnPolicyAdopted(
            policy_version=state.current.policy_version + 1 if state else 1,
            effective_from=command.now,
            window_days=terms.window_days,
            exclusions=terms.exclusions,
            restocking_fee_bp=terms.restocking_fee_bp,
            return_shipping_fee=terms.return_shipping_fee,
            refund_shipping=terms.refund_shipping,
            answer_days=terms.answer_days,
            ship_days=terms.ship_days,
            receive_days=terms.receive_days,
            refund_days=terms.refund_days,
            dual_control_above=terms.dual_control_above,
            auto_refund=terms.auto_refund,
            text=terms.text,
        )
    ]


def evolve(state: ReturnPolicy | None, event: ReturnPolicyAdopted, at: datetime) -> ReturnPolicy:
    """Remembers every version."""
    match event:
        case ReturnPolicyAdopted():
            return ReturnPolicy(adopted=(*(state.adopted if state else ()), event))
        case _:
            assert_never(event)


RETURN_POLICY: Decider[ReturnPolicy, AdoptReturnPolicy, ReturnPolicyAdopted] = Decider(
    category="returnpolicy", decide=decide, evolve=evolve
)


def _terms(policy: ReturnPolicyAdopted) -> ReturnTerms:
    return ReturnTerms(
        window_days=policy.window_days,
        exclusions=policy.exclusions,
        restocking_fee_bp=policy.restocking_fee_bp,
        return_shipping_fee=policy.return_shipping_fee,
        refund_shipping=policy.refund_shipping,
        answer_days=policy.answer_days,
        ship_days=policy.ship_days,
        receive_days=policy.receive_days,
        refund_days=policy.refund_days,
        dual_control_above=policy.dual_control_above,
        auto_refund=policy.auto_refund,
        text=policy.text,
    )


def _check(terms: ReturnTerms) -> None:
    days = (terms.window_days, terms.answer_days, terms.ship_days, terms.receive_days, terms.refund_days)
    if min(days) < 0 or max(days) > 3650:
        raise Rejected("invalid_policy", "Give every period as a number of days between 0 and 3650.")
    if terms.receive_days < terms.ship_days:
        raise Rejected("invalid_policy", "receive_days must leave at least ship_days for the way back.")
    if not 0 <= terms.restocking_fee_bp <= 10_000:
        raise Rejected("invalid_policy", "restocking_fee_bp must lie between 0 and 10000 (100 %).")
    for name, amounts in (
        ("return_shipping_fee", terms.return_shipping_fee),
        ("dual_control_above", terms.dual_control_above),
    ):
        if any(money.amount < 0 for money in amounts):
            raise Rejected("invalid_policy", f"{name} must not be negative.")
        if len({money.currency for money in amounts}) < len(amounts):
            raise Rejected("invalid_policy", f"{name} must name each currency once.")
    if not terms.text.en.strip():
        raise Rejected(
            "invalid_policy", "The policy needs its English text; other languages fall back to it."
        )
