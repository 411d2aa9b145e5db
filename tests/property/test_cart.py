"""Cart's Product, PricingPolicy, CouponUse and Cart: prices, rules and coupons change while two buyers shop.

The model prices a cart by itself, with fractions instead of the shop's integers, and says for every checkout
whether it goes through and at which total.
"""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from services.cart.domain import coupon_use, pricing, product
from services.cart.domain.abandoning import MarkAbandoned
from services.cart.domain.cart import (
    CART,
    AddItem,
    CartCommand,
    ChangeQuantity,
    ChooseDelivery,
    RemoveItem,
    StartCart,
)
from services.cart.domain.cart_state import Cart
from services.cart.domain.checkout import CheckOut
from services.cart.domain.choosing_coupons import ChooseCoupons
from services.cart.domain.coupon_use import COUPON_USE, GiveBackCouponUse, uses_of
from services.cart.domain.coupons import Coupon
from services.cart.domain.merging import MergeCart
from services.cart.domain.pricing import PRICING, PRICING_STREAM, AdoptPolicy, PolicyAdopted, Pricing
from services.cart.domain.product import (
    HIGHEST_PRICE,
    HIGHEST_QUANTITY,
    PRODUCT,
    DelistProduct,
    ListProduct,
    Product,
    ProductCommand,
    ProductDetails,
)
from services.cart.domain.rules import DEFAULT_RULES, Band, PricingRules, ShippingMethod, TaxRule
from services.cart.readmodels.availability import AVAILABILITY
from services.cart.readmodels.cart_view import CART_VIEW
from services.cart.readmodels.coupon_uses import COUPON_USES
from services.cart.readmodels.pricing_policies import PRICING_POLICIES
from services.cart.readmodels.products import PRODUCTS
from shared.domain import Rejected, Sealed, ids
from shared.events import cart
from shared.events.cart import CartCheckedOut, CartItemCause, CartMerged
from shared.events.common import Contact, Destination
from shared.events.inventory import Scarcity, StockRanLow, StockReplenished
from shared.events.registry import Registry
from shared.testing.scenario import NOW
from tests.property.machine import ACCEPTED, AggregateMachine, Decision, uid
from tests.property.profiles import PROFILE
from tests.property.strategies import contacts, one_of_known, paces, sealed

CARTS = (uid("cart", 1), uid("cart", 2))
LINES = tuple(uid("line", n) for n in range(6))
SKUS = ("MUG", "CARD", "RING", "SOFA")
KINDS = {
    "MUG": ProductDetails(title={"en": "Mug"}, weight_g=350, limit_quantity_per_checkout=3),
    "CARD": ProductDetails(title={"it": "Buono"}, digital=True, tax_class="zero"),
    "RING": ProductDetails(title={"en": "Ring"}, custom=True, weight_g=9),
    "SOFA": ProductDetails(title={"en": "Sofa"}, pickup_only=True, weight_g=40_000, stock_tracked=False),
}
DEPOT = uid("depot")
SEAL, OTHER_SEAL = Sealed("v1.anna.nonce.one"), Sealed("v1.anna.nonce.two")
LONDON = Destination(country="GB", complete=True, address=SEAL)

COUPONS = (
    Coupon(code="TEN", percent_bp=1_000, combines=True),
    Coupon(code="THIRD", percent_bp=3_333, valid_until=NOW + timedelta(days=2), combines=True),
    Coupon(code="SOON", percent_bp=9_999, valid_from=NOW + timedelta(days=1), combines=True),
    Coupon(code="ONCE", amount={"GBP": 700}, max_uses=1),
    Coupon(code="POST", free_shipping=True, minimum={"GBP": 2_000}, combines=True),
)
FEW_RULES = replace(
    DEFAULT_RULES,
    tax_rules=tuple(
        TaxRule(country=country, tax_class=tax_class, rate_bp=rate)
        for country, standard in (("GB", 2_000), ("FR", 1_960))
        for tax_class, rate in (("standard", standard), ("zero", 0))
    ),
)
WITH_COUPONS = replace(FEW_RULES, coupons=COUPONS)
NET_PRICES = replace(WITH_COUPONS, prices_include_tax=False, line_limit=2)
EUROS_TOO = replace(
    FEW_RULES,
    currencies=("GBP", "EUR"),
    shipping_methods=(
        *FEW_RULES.shipping_methods,
        ShippingMethod(
            id="standard",
            title="Post",
            countries=("FR", "IT"),
            currency="EUR",
            bands=(Band(price=7),),
            eta_days=4,
        ),
    ),
)
RULES = (WITH_COUPONS, NET_PRICES, EUROS_TOO)
BAD_RULES = (
    replace(FEW_RULES, currencies=()),
    replace(FEW_RULES, line_limit=501),
    replace(FEW_RULES, home_country="gb"),
    replace(FEW_RULES, tax_rules=(*FEW_RULES.tax_rules, FEW_RULES.tax_rules[0])),
    replace(FEW_RULES, shipping_methods=(replace(FEW_RULES.shipping_methods[0], bands=()),)),
    replace(FEW_RULES, coupons=(Coupon(code="NOTHING"),)),
)
BAD_DETAILS: tuple[dict[str, Any], ...] = (
    {"title": {}},
    {"digital": True, "pickup_only": True},
    {"weight_g": -1},
    {"limit_quantity_per_checkout": 0},
    {"tax_class": " "},
)

carts, lines, skus = st.sampled_from([CARTS[0], *CARTS]), st.sampled_from(LINES), st.sampled_from(SKUS)
currencies = st.sampled_from(["GBP", "GBP", "GBP", "EUR"])
quantities = st.sampled_from([1, 1, 1, 2, 2, 3, 4, 0, -1, HIGHEST_QUANTITY, HIGHEST_QUANTITY + 1])
amounts = st.sampled_from([4_999, 1_000, 99, 5_000, 1, 0, HIGHEST_PRICE])
destinations = st.builds(
    Destination,
    country=st.sampled_from(["GB", "GB", "FR", "IT"]),
    complete=st.sampled_from([True, True, False]),
    missing=st.just(("street",)),
    address=sealed,
)
code_lists = st.lists(
    st.sampled_from([*(coupon.code for coupon in COUPONS), "GHOST"]), unique=True, max_size=3
)
methods = st.sampled_from([m.id for m in FEW_RULES.shipping_methods] + ["drone"])


class NaiveShop:
    """The catalogue, the versions of the rules and the carts, as dicts."""

    def __init__(self) -> None:
        self.products: dict[str, dict[str, Any]] = {}
        self.versions: list[tuple[PricingRules, Any]] = []
        self.carts: dict[UUID, dict[str, Any]] = {}
        self.uses: dict[str, set[UUID]] = {}

    def tell(self, command: CartCommand | ProductCommand | AdoptPolicy | GiveBackCouponUse) -> frozenset[str]:
        match command:
            case GiveBackCouponUse(code=code, order_id=order_id):
                self.uses.get(code, set()).discard(order_id)
                return ACCEPTED
            case ListProduct():
                return self._list(command)
            case DelistProduct(sku=sku):
                if sku not in self.products:
                    return frozenset({"unknown_product"})
                self.products[sku]["active"] = False
                return ACCEPTED
            case AdoptPolicy(document=document, effective_from=since):
                if document in BAD_RULES or since.tzinfo is None:
                    return frozenset({"invalid_policy"})
                version = self.holding(since)
                if not version or self.versions[version - 1][0] != document:
                    self.versions.append((document, since))
                return ACCEPTED
            case StartCart():
                return self._start(command)
            case _ if command.cart_id not in self.carts:
                return frozenset({"unknown_cart"})
            case AddItem():
                return self._add(self.carts[command.cart_id], command)
            case ChangeQuantity():
                return self._change(self.carts[command.cart_id], command)
            case RemoveItem(line_id=line_id):
                return self._remove(self.carts[command.cart_id], line_id)
            case ChooseDelivery():
                return self._choose(self.carts[command.cart_id], command)
            case ChooseCoupons():
                return self._name_coupons(self.carts[command.cart_id], command)
            case MergeCart():
                return self._merge(self.carts[command.cart_id], command)
            case MarkAbandoned(cart_id=cart_id):
                paper = self.carts[cart_id]
                paper["left"] = paper["open"] and bool(paper["lines"])
                return ACCEPTED
            case CheckOut():
                return self._check_out(self.carts[command.cart_id], command)

    def holding(self, at: Any) -> int:
        """The version of the rules that holds at an instant, 0 if there is none."""
        begun = [(since, n) for n, (_, since) in enumerate(self.versions, start=1) if since <= at]
        return max(begun)[1] if begun else 0

    # The catalogue

    def _list(self, command: ListProduct) -> frozenset[str]:
        details = command.details
        well = command.sku in SKUS and all(0 <= price <= HIGHEST_PRICE for price in command.prices.values())
        if not well or not command.prices or details not in KINDS.values():
            return frozenset({"invalid_product"})
        self.products[command.sku] = {"details": details, "prices": dict(command.prices), "active": True}
        return ACCEPTED

    def sold(self, sku: str, currency: str) -> bool:
        found = self.products.get(sku)
        return found is not None and found["active"] and currency in found["prices"]

    def limit(self, sku: str) -> int:
        found = self.products.get(sku)
        return (found["details"].limit_quantity_per_checkout if found else None) or HIGHEST_QUANTITY

    def sold_out(self, sku: str, level: Scarcity | None) -> bool:
        found = self.products.get(sku)
        return bool(found and found["details"].stock_tracked) and level == "OUT"

    # Filling a cart

    def _start(self, command: StartCart) -> frozenset[str]:
        if found := self.carts.get(command.cart_id):
            refusals = {"cart_exists"} if found["customer"] != command.customer_id else set()
            return frozenset(
                refusals | ({"currency_mismatch"} if found["currency"] != command.currency else set())
            )
        if command.currency not in command.rules.currencies:
            return frozenset({"currency_mismatch"})
        self.carts[command.cart_id] = {
            "customer": command.customer_id,
            "currency": command.currency,
            "open": True,
            "left": False,
            "merged": None,
            "lines": {},
            "gone": set(),
            "joined": set(),
            "contact": None,
            "to": None,
            "method": None,
            "pickup": None,
            "codes": [],
        }
        return ACCEPTED

    def _add(self, paper: dict[str, Any], command: AddItem) -> frozenset[str]:
        line_id, sku = command.line_id, command.sku
        if line_id in {*paper["lines"], *paper["gone"], *paper["joined"]}:
            return ACCEPTED
        found = self.products.get(sku)
        of_sku = sum(line["units"] for line in paper["lines"].values() if line["sku"] == sku)
        same = [
            line
            for line in paper["lines"].values()
            if (line["sku"], line["how"]) == (sku, command.customization)
        ]
        merged, room = command.cause == "MERGE", self.limit(sku) - of_sku
        units = min(command.quantity, room) if merged else command.quantity
        wrong = {
            "cart_closed": not paper["open"],
            "sold_out": self.sold_out(sku, command.availability),
            "product_unavailable": found is None or not found["active"],
            "currency_mismatch": found is not None and paper["currency"] not in found["prices"],
            "customization_required": bool(found and found["details"].custom)
            and command.customization is None,
            "quantity_limit": not merged and not 1 <= units <= room,
            "line_limit": (not merged or room > 0)
            and not same
            and len(paper["lines"]) >= command.rules.line_limit,
        }
        if any(wrong.values()):
            return frozenset(code for code, holds in wrong.items() if holds)
        if units < 1:
            return ACCEPTED
        paper["left"] = False
        if same:
            same[0]["units"] += units
            paper["joined"].add(line_id)
        else:
            paper["lines"][line_id] = {"sku": sku, "units": units, "how": command.customization}
        return ACCEPTED

    def _change(self, paper: dict[str, Any], command: ChangeQuantity) -> frozenset[str]:
        line = paper["lines"].get(command.line_id)
        if line and line["units"] == command.quantity:
            return ACCEPTED
        if not paper["open"]:
            return frozenset({"cart_closed"})
        if not line:
            return frozenset({"unknown_line"})
        others = sum(
            other["units"]
            for other in paper["lines"].values()
            if other["sku"] == line["sku"] and other is not line
        )
        more = command.quantity > line["units"]
        wrong = {
            "quantity_limit": command.quantity < 1 or others + command.quantity > self.limit(line["sku"]),
            "sold_out": more and self.sold_out(line["sku"], command.availability),
        }
        if any(wrong.values()):
            return frozenset(code for code, holds in wrong.items() if holds)
        line["units"] = command.quantity
        paper["left"] = False
        return ACCEPTED

    def _remove(self, paper: dict[str, Any], line_id: UUID) -> frozenset[str]:
        if line_id in paper["gone"]:
            return ACCEPTED
        if not paper["open"]:
            return frozenset({"cart_closed"})
        if line_id not in paper["lines"]:
            return frozenset({"unknown_line"})
        del paper["lines"][line_id]
        paper["gone"].add(line_id)
        paper["left"] = False
        return ACCEPTED

    def _choose(self, paper: dict[str, Any], command: ChooseDelivery) -> frozenset[str]:
        wishes: dict[str, Any] = {
            "contact": command.contact,
            "to": command.destination,
            "method": command.method_id,
            "pickup": command.pickup_location_id,
        }
        if all(wish is None or wish == paper[name] for name, wish in wishes.items()):
            return ACCEPTED
        if not paper["open"]:
            return frozenset({"cart_closed"})
        to = command.destination or paper["to"]
        served = to is not None and self._method(
            command.rules, wishes["method"] or paper["method"], to, paper
        )
        if wishes["method"] and (wishes["pickup"] or not served):
            return frozenset({"method_unavailable"})
        paper |= {name: wish for name, wish in wishes.items() if wish is not None}
        if wishes["pickup"] or (paper["method"] and not served):
            paper["method"] = None
        elif paper["method"]:
            paper["pickup"] = None
        return ACCEPTED

    @staticmethod
    def _method(rules: PricingRules, name: str | None, to: Destination, paper: dict[str, Any]) -> Any:
        return next(
            (
                method
                for method in rules.shipping_methods
                if method.id == name
                and method.currency == paper["currency"]
                and (to.country in method.countries or "*" in method.countries)
            ),
            None,
        )

    def _name_coupons(self, paper: dict[str, Any], command: ChooseCoupons) -> frozenset[str]:
        if list(command.codes) == paper["codes"]:
            return ACCEPTED
        if not paper["open"]:
            return frozenset({"cart_closed"})
        there = {coupon.code: coupon for coupon in command.rules.coupons}
        for code in command.codes:
            coupon = there.get(code)
            if (
                coupon is None
                or not self.holds(coupon, command.now)
                or not self._fits(coupon, paper)
                or (len(command.codes) > 1 and not coupon.combines)
                or (coupon.max_uses and len(self.uses.get(code, set())) >= coupon.max_uses)
            ):
                return frozenset({"coupon_invalid"})
        paper["codes"] = list(command.codes)
        return ACCEPTED

    @staticmethod
    def holds(coupon: Coupon, now: Any) -> bool:
        """Whether it does at this instant."""
        begun = coupon.valid_from is None or coupon.valid_from <= now
        return begun and (coupon.valid_until is None or now < coupon.valid_until)

    def listed(self, paper: dict[str, Any]) -> list[int]:
        """What each line that can be bought costs without coupons and taxes of its own."""
        return [
            self.products[line["sku"]]["prices"][paper["currency"]] * line["units"]
            for line in paper["lines"].values()
            if self.sold(line["sku"], paper["currency"])
        ]

    def _fits(self, coupon: Coupon, paper: dict[str, Any]) -> bool:
        if coupon.amount is not None and paper["currency"] not in coupon.amount:
            return False
        return sum(self.listed(paper)) >= coupon.minimum.get(paper["currency"], 0)

    def counting(self, paper: dict[str, Any], coupons: Any) -> list[Coupon]:
        """The coupons that reduce the cart, by those that hold now."""
        fitting = [coupons[c] for c in paper["codes"] if c in coupons and self._fits(coupons[c], paper)]
        together = [coupon for coupon in fitting if coupon.combines]
        return fitting[:1] if fitting and not fitting[0].combines else together

    def discounts(self, paper: dict[str, Any], coupons: Any) -> list[int]:
        """What they take off each line: of the first n lines together, the whole part of their share."""
        listed = self.listed(paper)
        everything = sum(listed)
        off = Fraction(0)
        for coupon in self.counting(paper, coupons):
            if coupon.percent_bp is not None:
                off += half_up(Fraction(everything * coupon.percent_bp, 10_000))
            elif coupon.amount is not None:
                off += coupon.amount[paper["currency"]]
        off = min(off, Fraction(everything))
        share = off / everything if everything else Fraction(0)
        so_far = [int(share * sum(listed[:n])) for n in range(len(listed) + 1)]
        return [after - before for before, after in pairwise(so_far)]

    # Buying it, or handing it over

    def _merge(self, paper: dict[str, Any], command: MergeCart) -> frozenset[str]:
        if paper["merged"] == command.into_cart_id:
            return ACCEPTED
        if not paper["open"]:
            return frozenset({"cart_closed"})
        if paper["customer"] or command.into_cart_id == command.cart_id:
            return frozenset({"not_mergeable"})
        paper |= {"open": False, "left": False, "merged": command.into_cart_id}
        return ACCEPTED

    def _check_out(self, paper: dict[str, Any], command: CheckOut) -> frozenset[str]:
        if paper["merged"]:
            return frozenset({"cart_closed"})
        if not paper["open"]:
            return ACCEPTED
        rules, to, lines = command.policy.document, paper["to"], paper["lines"].values()
        coupons = {c.code: c for c in rules.coupons if self.holds(c, command.now)}
        unavailable = any(not self.sold(line["sku"], paper["currency"]) for line in lines)
        wrong = {
            "empty_cart": not lines,
            "email_missing": paper["contact"] is None,
            "address_incomplete": to is None or not (to.complete or paper["pickup"]),
            "product_unavailable": unavailable,
            "quantity_limit": any(
                sum(other["units"] for other in lines if other["sku"] == sku) > self.limit(sku)
                for sku in SKUS
            ),
            "currency_mismatch": command.currency != paper["currency"],
            "sold_out": any(
                self.sold_out(line["sku"], command.availability.get(line["sku"])) for line in lines
            ),
        }
        if not unavailable:
            collect = any(self.products[line["sku"]]["details"].pickup_only for line in lines)
            if self.shipping(paper, rules, coupons) is None or (collect and not paper["pickup"]):
                wrong["method_unavailable"] = True
            elif self.total(paper, rules, coupons) != command.expected_total:
                wrong["total_changed"] = True
        order_id = ids.order_id(command.cart_id)
        taken = [] if any(wrong.values()) else self.counting(paper, coupons)
        wrong["coupon_used_up"] = any(
            coupon.max_uses is not None and len(self.uses.get(coupon.code, ())) >= coupon.max_uses
            for coupon in taken
        )
        if not any(wrong.values()):
            paper |= {"open": False, "left": False}
            for coupon in taken:
                self.uses.setdefault(coupon.code, set()).add(order_id)
        return frozenset(code for code, holds in wrong.items() if holds)

    def total(self, paper: dict[str, Any], rules: PricingRules, coupons: Any) -> int:
        """What the buyer has to agree to."""
        return sum(self.gross(paper, rules, coupons)) + (self.shipping(paper, rules, coupons) or 0)

    def gross(self, paper: dict[str, Any], rules: PricingRules, coupons: Any) -> list[int]:
        """What each line costs in the end."""
        kinds = [self.products[line["sku"]]["details"].tax_class for line in paper["lines"].values()]
        amounts = zip(kinds, self.listed(paper), self.discounts(paper, coupons), strict=True)
        return [self._with_tax(paper, price - off, kind, rules) for kind, price, off in amounts]

    def shipping(self, paper: dict[str, Any], rules: PricingRules, coupons: Any) -> int | None:
        """What delivery costs; None if nothing that was chosen takes these lines there."""
        parcels = [
            (line["units"], self.products[line["sku"]])
            for line in paper["lines"].values()
            if not self.products[line["sku"]]["details"].digital
            and not self.products[line["sku"]]["details"].pickup_only
        ]
        if not parcels or paper["pickup"]:
            return 0
        method = self._method(rules, paper["method"], paper["to"], paper) if paper["to"] else None
        if method is None:
            return None
        value = sum(units * found["prices"][paper["currency"]] for units, found in parcels)
        weight = sum(units * found["details"].weight_g for units, found in parcels)
        size = weight if method.measure == "WEIGHT" else value
        prices = [band.price for band in method.bands if band.up_to is None or size <= band.up_to]
        if not prices:
            return None
        free = any(coupon.free_shipping for coupon in self.counting(paper, coupons))
        return 0 if free else self._with_tax(paper, prices[0], method.tax_class, rules)

    @staticmethod
    def _with_tax(paper: dict[str, Any], amount: int, tax_class: str, rules: PricingRules) -> int:
        country = paper["to"].country if paper["to"] else rules.home_country
        rates = [r.rate_bp for r in rules.tax_rules if (r.country, r.tax_class) == (country, tax_class)]
        rate = Fraction(rates[0], 10_000) if rates else Fraction(0)
        return amount if rules.prices_include_tax else amount + half_up(amount * rate)


def half_up(exact: Fraction) -> int:
    """To the nearest integer, halves up; of amounts that are never negative."""
    return int(exact + Fraction(1, 2))


class CartMachine(AggregateMachine):
    deciders = (CART, PRODUCT, PRICING, COUPON_USE)
    registry = Registry.of(cart, product, pricing, coupon_use)
    read_models = (AVAILABILITY, CART_VIEW, PRICING_POLICIES, PRODUCTS, COUPON_USES)

    model: NaiveShop
    refused: Rejected | None = None

    def __init__(self) -> None:
        super().__init__()
        self.model = NaiveShop()
        self.scarce: dict[str, Scarcity] = {}

    def decide(self, command: Any) -> Decision:
        decider: Any = CART
        match command:
            case AdoptPolicy():
                decider, stream = PRICING, PRICING_STREAM
            case ListProduct() | DelistProduct():
                decider, stream = PRODUCT, PRODUCT.stream(command.sku)
            case GiveBackCouponUse():
                decider, stream = COUPON_USE, COUPON_USE.stream(command.code)
            case _:
                stream = CART.stream(command.cart_id)
        self.refused = None
        try:
            decision = [(stream, event) for event in decider.decide(self.states.get(stream), command)]
            if isinstance(command, CheckOut):
                for _, event in tuple(decision):
                    for take in uses_of(event, command.policy.document.coupons_by_code):
                        uses = COUPON_USE.stream(take.code)
                        taken = COUPON_USE.decide(self.states.get(uses), take)
                        decision += [(uses, each) for each in taken]
            return decision
        except Rejected as refused:
            self.refused = refused
            raise

    @property
    def policy(self) -> PolicyAdopted:
        """What is in force now."""
        state: Pricing = self.states[PRICING_STREAM]
        found = state.at(self.now)
        assert found is not None
        return found

    def product(self, sku: str) -> Product | None:
        return self.states.get(PRODUCT.stream(sku))

    # What is told

    @initialize(rules=st.sampled_from(RULES), price=amounts, some=st.integers(0, 7))
    def open_the_shop(self, rules: PricingRules, price: int, some: int) -> None:
        self.tell(
            AdoptPolicy(document=rules, effective_from=self.now - timedelta(days=1), adopted_by="admin")
        )
        for sku in SKUS:
            self.tell(ListProduct(sku=sku, details=KINDS[sku], prices={"GBP": min(price, 5_000), "EUR": 7}))
        if some:
            self.start(CARTS[0], None, "GBP")
            self.to_somewhere(
                CARTS[0], Contact(subject_id=uid("anna"), name=SEAL, email=SEAL), LONDON, "standard", None
            )
            self.put_in(CARTS[0], LINES[0], SKUS[some // 2], 1, SEAL)

    @rule(good=st.sampled_from(RULES), bad=st.sampled_from(BAD_RULES), days=st.integers(-2, 7))
    def admin_changes_the_rules(self, good: PricingRules, bad: PricingRules, days: int) -> None:
        if days > 2:
            return
        rules = bad if days == 2 else good
        since = self.now + timedelta(days=days)
        self.tell(AdoptPolicy(document=rules, effective_from=since, adopted_by="admin"))

    @rule(sku=skus, price=amounts, other=st.none() | amounts, bad=st.integers(0, 9), data=st.data())
    def staff_list_a_product(
        self, sku: str, price: int, other: int | None, bad: int, data: st.DataObject
    ) -> None:
        details, prices = KINDS[sku], {"GBP": price, **({} if other is None else {"EUR": other})}
        if bad == 8:
            details = replace(details, **data.draw(st.sampled_from(BAD_DETAILS)))
        if bad == 9:
            prices = data.draw(st.sampled_from([{}, {"GBP": -1}, {"GBP": HIGHEST_PRICE + 1}]))
        self.tell(ListProduct(sku=sku, details=details, prices=prices))

    @rule(sku=st.sampled_from((*SKUS, "GHOST")), really=st.integers(0, 2))
    def staff_delist_a_product(self, sku: str, really: int) -> None:
        if not really or sku == "GHOST":
            self.tell(DelistProduct(sku=sku))

    @rule(sku=skus, level=st.sampled_from([None, None, *Scarcity]))
    def inventory_tells(self, sku: str, level: Scarcity | None) -> None:
        before = self.scarce.pop(sku, None)
        told: Any = StockReplenished(was=before or Scarcity.LOW, available=9)
        if level is not None:
            self.scarce[sku] = level
            told = StockRanLow(level=level, available=0 if level == "OUT" else 2, threshold=2)
        self.heard.append((f"skuavailability-{sku}", told, self.now))

    @rule(cart_id=carts, customer=st.sampled_from([None, None, uid("customer")]), currency=currencies)
    def start(self, cart_id: UUID, customer: UUID | None, currency: str) -> None:
        self.tell(
            StartCart(
                cart_id=cart_id,
                customer_id=customer,
                subject_id=uid("anna"),
                currency=currency,
                locale="en",
                rules=self.policy.document,
            )
        )

    @rule(
        cart_id=carts,
        line=lines,
        sku=st.sampled_from((*SKUS, "GHOST")),
        quantity=quantities,
        how=st.sampled_from([None, None, SEAL, OTHER_SEAL]),
    )
    def put_in(self, cart_id: UUID, line: UUID, sku: str, quantity: int, how: Sealed | None) -> None:
        self.tell(
            AddItem(
                cart_id=cart_id,
                line_id=line,
                sku=sku,
                quantity=quantity,
                customization=how,
                product=self.product(sku),
                availability=self.scarce.get(sku),
                rules=self.policy.document,
            )
        )

    @rule(cart_id=carts, into=st.sampled_from([*CARTS, uid("cart", 3)]), really=st.integers(0, 2))
    def somebody_signs_in(self, cart_id: UUID, into: UUID, really: int) -> None:
        """The guest's cart is merged, and its lines arrive."""
        if really:
            return
        held = dict(self.held(cart_id))
        for event in self.tell(MergeCart(cart_id=cart_id, into_cart_id=into)):
            assert isinstance(event, CartMerged)
            assert [(line.line_id, line.quantity) for line in event.lines] == [
                (line_id, line["units"]) for line_id, line in held.items()
            ]
            for line in event.lines:
                sku = held[line.line_id]["sku"]
                self.tell(
                    AddItem(
                        cart_id=into,
                        line_id=ids.copied_line_id(into, cart_id, line.line_id),
                        sku=sku,
                        quantity=line.quantity,
                        customization=held[line.line_id]["how"],
                        product=self.product(sku),
                        availability=self.scarce.get(sku),
                        rules=self.policy.document,
                        cause=CartItemCause.MERGE,
                    )
                )

    @rule(cart_id=carts)
    def nobody_comes_back(self, cart_id: UUID) -> None:
        state: Cart | None = self.states.get(CART.stream(cart_id))
        waits = bool(state and CART.deadlines(state))
        assert bool(self.tell(MarkAbandoned(cart_id=cart_id))) == waits

    @rule(cart_id=carts, data=st.data(), quantity=quantities)
    def change_quantity(self, cart_id: UUID, data: st.DataObject, quantity: int) -> None:
        held = self.held(cart_id)
        line = one_of_known(data, held, "line")
        sku = held[line]["sku"] if line in held else ""
        self.tell(
            ChangeQuantity(
                cart_id=cart_id,
                line_id=line,
                quantity=quantity,
                product=self.product(sku),
                availability=self.scarce.get(sku),
            )
        )

    @rule(cart_id=carts, data=st.data(), really=st.integers(0, 3))
    def take_out(self, cart_id: UUID, data: st.DataObject, really: int) -> None:
        line = one_of_known(data, {**self.held(cart_id), LINES[0]: None}, "line")
        if not really:
            self.tell(RemoveItem(cart_id=cart_id, line_id=line))

    def held(self, cart_id: UUID) -> dict[UUID, dict[str, Any]]:
        """The lines that are in a cart."""
        found: dict[UUID, dict[str, Any]] = self.model.carts.get(cart_id, {"lines": {}})["lines"]
        return found

    @rule(
        cart_id=carts,
        contact=st.none() | contacts,
        destination=st.none() | destinations,
        method=st.none() | methods,
        pickup=st.sampled_from([None, None, DEPOT]),
    )
    def to_somewhere(
        self,
        cart_id: UUID,
        contact: Contact | None,
        destination: Destination | None,
        method: str | None,
        pickup: UUID | None,
    ) -> None:
        self.tell(
            ChooseDelivery(
                cart_id=cart_id,
                contact=contact,
                destination=destination,
                method_id=method,
                pickup_location_id=pickup,
                rules=self.policy.document,
            )
        )

    @rule(cart_id=carts, codes=code_lists)
    def name_coupons(self, cart_id: UUID, codes: list[str]) -> None:
        used = {code: len(self.model.uses.get(code, ())) for code in codes}
        products = {sku: found for sku in SKUS if (found := self.product(sku))}
        self.tell(
            ChooseCoupons(
                cart_id=cart_id,
                codes=tuple(codes),
                products=products,
                rules=self.policy.document,
                used=used,
                now=self.now,
            )
        )

    @rule(cart_id=carts, coupon=st.sampled_from(COUPONS))
    def the_order_is_cancelled(self, cart_id: UUID, coupon: Coupon) -> None:
        self.tell(GiveBackCouponUse(code=coupon.code, order_id=ids.order_id(cart_id)))

    @rule(cart_id=carts, off=st.sampled_from([0, 0, 0, 1, -1]), currency=currencies)
    def buy(self, cart_id: UUID, off: int, currency: str) -> None:
        """At the total that the page showed, or at one that is not right any more."""
        state: Cart | None = self.states.get(CART.stream(cart_id))
        products = {sku: found for sku in SKUS if (found := self.product(sku))}
        coupons = self.policy.document.coupons_at(self.now)
        shown = state.priced(products, self.policy.document, coupons).totals.total if state else 0
        command = CheckOut(
            cart_id=cart_id,
            expected_total=shown + off,
            currency=currency,
            products=products,
            availability=self.scarce,
            policy=self.policy,
            terms_version="1",
            now=self.now,
        )
        events = self.tell(command)
        if self.refused and self.refused.code == "total_changed":
            assert self.refused.extra["total"] == self.model.total(
                self.model.carts[cart_id], self.policy.document, coupons
            )
        for event in events:
            if isinstance(event, CartCheckedOut):
                self.is_frozen_as_shown(cart_id, event)

    def is_frozen_as_shown(self, cart_id: UUID, event: CartCheckedOut) -> None:
        """L12; every line at its price, the tax within rounded half up by itself."""
        paper, rules = self.model.carts[cart_id], self.policy.document
        coupons = rules.coupons_at(self.now)
        assert event.order_id == ids.order_id(cart_id)
        assert (
            event.pricing_version == len(self.model.versions) or self.policy.version == event.pricing_version
        )
        assert sum(line.gross for line in event.lines) + event.shipping.gross == event.totals.total
        sums = (sum(line.net for line in event.lines), sum(line.tax for line in event.lines))
        assert sums == (event.totals.items_net, event.totals.items_tax)
        assert (event.shipping.net, event.shipping.tax) == (
            event.totals.shipping_net,
            event.totals.shipping_tax,
        )
        assert event.shipping.gross == self.model.shipping(paper, rules, coupons)
        assert list(event.coupons) == [c.code for c in self.model.counting(paper, coupons)]
        assert [line.discount for line in event.lines] == self.model.discounts(paper, coupons)
        assert [line.gross for line in event.lines] == self.model.gross(paper, rules, coupons)
        assert sum(line.discount for line in event.lines) == event.totals.discount
        for line, held in zip(event.lines, paper["lines"].values(), strict=True):
            assert (line.sku, line.quantity, line.customization) == (held["sku"], held["units"], held["how"])
            assert line.gross == line.net + line.tax
            exact = Fraction(line.gross * 10_000, 10_000 + line.tax_rate_bp)
            assert abs(line.net - exact) <= Fraction(1, 2) or not rules.prices_include_tax

    @rule(pace=paces)
    def time_passes(self, pace: timedelta) -> None:
        self.now += pace

    # What has to hold

    def compare(self) -> None:
        model = self.model
        for sku in SKUS:
            found = self.product(sku)
            assert (found and {"details": found.details, "prices": found.prices, "active": found.active}) == (
                model.products.get(sku)
            )
        state: Pricing | None = self.states.get(PRICING_STREAM)
        versions = state.versions if state else ()
        assert [(v.version, v.document, v.effective_from) for v in versions] == [
            (n, document, since) for n, (document, since) in enumerate(model.versions, start=1)
        ]
        if holding := model.holding(self.now):
            assert self.policy.version == holding
        for coupon in COUPONS:
            uses = self.states.get(COUPON_USE.stream(coupon.code))
            assert (uses.holders if uses else set()) == model.uses.get(coupon.code, set())
            assert coupon.max_uses is None or len(model.uses.get(coupon.code, ())) <= coupon.max_uses
        for cart_id in CARTS:
            held: Cart | None = self.states.get(CART.stream(cart_id))
            paper = model.carts.get(cart_id)
            assert (held is None) == (paper is None)
            if held and paper:
                same_cart(held, paper)

    @invariant()
    def a_cart_is_bought_once(self) -> None:
        """And nothing happens to it afterwards."""
        for cart_id in CARTS:
            events = [event for stream, event, _ in self.history if stream == CART.stream(cart_id)]
            bought = [isinstance(event, CartCheckedOut) for event in events]
            assert not any(bought[:-1])


def same_cart(held: Cart, paper: dict[str, Any]) -> None:
    """A cart as folded is the cart on paper."""
    assert (held.status in ("OPEN", "ABANDONED")) == paper["open"]
    assert (held.status == "ABANDONED", held.merged_into) == (paper["left"], paper["merged"])
    assert bool(CART.deadlines(held)) == (paper["open"] and not paper["left"] and bool(paper["lines"]))
    assert (held.customer_id, held.currency) == (paper["customer"], paper["currency"])
    assert [(i.line_id, i.sku, i.quantity, i.customization) for i in held.items] == [
        (line_id, line["sku"], line["units"], line["how"]) for line_id, line in paper["lines"].items()
    ]
    assert (held.removed, held.joined) == (paper["gone"], paper["joined"])
    assert list(held.coupons) == paper["codes"]
    way = held.delivery
    assert (way.contact, way.destination, way.method_id, way.pickup_location_id) == (
        paper["contact"],
        paper["to"],
        paper["method"],
        paper["pickup"],
    )
    for item in held.items:
        assert 1 <= item.quantity <= HIGHEST_QUANTITY
    assert len(held.items) <= 500


TestCart = CartMachine.TestCase
TestCart.settings = PROFILE
