"""`orderflow pricing` as people type it, with a real cart: a policy out, changed, in again, and bad files."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.catalog.conftest import Desk

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "pricing"


async def test_a_policy_comes_out_and_goes_in_again_without_a_change(desk: Desk) -> None:
    assert (await desk.type("pricing", "export", "policy.json")).code == 0
    policy = json.loads(await desk.get("policy.json"))
    assert policy["as_of"] == "2025-09-01"
    assert "europa.eu" in policy["source"]
    before = await desk.events("cart")
    again = await desk.type("pricing", "import", "policy.json")
    assert (again.code, again.err) == (0, "")
    assert again.out == "policy.json: holds already; nothing changed\n"
    assert await desk.events("cart") == before
    assert (await desk.type("pricing", "export")).out == await desk.get("policy.json")


@pytest.mark.parametrize("name", ["us-like.json", "brazil-like.json"])
async def test_the_examples_go_in_once(desk: Desk, name: str) -> None:
    await desk.put(name, (EXAMPLES / name).read_bytes())
    tried = await desk.type("pricing", "import", name, "--dry-run")
    assert (tried.code, tried.err) == (0, "")
    assert tried.out.startswith(f"{name}: would hold from ")
    assert await desk.events("cart") == 1
    taken = await desk.type("pricing", "import", name)
    assert (taken.code, taken.err) == (0, "")
    assert taken.out.startswith(f"{name}: holds from ")
    assert await desk.events("cart") == 2
    assert (await desk.type("pricing", "import", name)).out == f"{name}: holds already; nothing changed\n"
    assert await desk.events("cart") == 2
    given = json.loads(await desk.get(name))
    found = json.loads((await desk.type("pricing", "export")).out)
    assert len(found["tax_rules"]) == len(given["tax_rules"])
    assert [coupon["code"] for coupon in found["coupons"]] == [each["code"] for each in given["coupons"]]


async def test_a_policy_for_later_is_exported_as_it_will_be(desk: Desk) -> None:
    then = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    policy = json.loads((EXAMPLES / "us-like.json").read_bytes())
    await desk.put("later.json", json.dumps({**policy, "effective_from": then.isoformat()}))
    assert (await desk.type("pricing", "import", "later.json")).code == 0
    assert json.loads((await desk.type("pricing", "export")).out)["home_country"] == "GB"
    planned = await desk.type("pricing", "export", "--at", (then + timedelta(days=1)).isoformat())
    assert json.loads(planned.out)["home_country"] == "US"
    before = await desk.events("cart")
    again = await desk.type("pricing", "import", "later.json")
    assert (again.code, again.out) == (0, "later.json: holds already; nothing changed\n")
    assert await desk.events("cart") == before


async def test_faults_are_told_by_their_place(desk: Desk) -> None:
    policy = json.loads((EXAMPLES / "us-like.json").read_bytes())
    policy["tax_rules"][2]["rate_bp"] = 10_001
    policy["coupons"][1]["max_uses"] = 0
    await desk.put("bad.json", json.dumps(policy))
    done = await desk.type("pricing", "import", "bad.json", "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert done.lines == [
        "bad.json: #/tax_rules/2/rate_bp: 10001 is not within 0 to 10000 basis points",
        "bad.json: #/coupons/1/max_uses: must be 1 to 1000000",
    ]
    policy["tax_rules"][2] = {"country": "US", "regoin": "CA", "tax_class": "standard", "rate_bp": 1}
    await desk.put("typo.json", json.dumps(policy))
    done = await desk.type("pricing", "import", "typo.json")
    assert (done.code, done.lines) == (2, ["typo.json: #/tax_rules/2/regoin: There is no such member."])
    await desk.put("short.json", '{"currencies": ["GBP"]}')
    done = await desk.type("pricing", "import", "short.json")
    assert done.code == 2
    assert "short.json: #/home_country: Field required" in done.lines
    assert await desk.events("cart") == 1


async def test_files_that_are_no_policy(desk: Desk) -> None:
    await desk.put("text.json", "prices: high")
    for words, told in (
        (("import", "text.json"), "text.json: is not JSON"),
        (("import", "none.json"), "none.json: No such file"),
        (("export", "no/where.json"), "no/where.json: No such file"),
        (("export", "--at", "soon"), "--at soon: is no instant"),
    ):
        done = await desk.type("pricing", *words)
        assert done.code == 2
        assert told in done.err
