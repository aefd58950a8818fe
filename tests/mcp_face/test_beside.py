"""What every tool answer tells beside its own: unread messages and lost leases."""

import pytest

from kyros_collab_server.settings import Settings
from tests.conftest import TurnedClock
from tests.mcp_face.conftest import Product, answer_of, serving, text_of
from tests.mcp_face.test_work import call

pytestmark = pytest.mark.anyio


async def test_every_answer_counts_the_unread_messages_in_both_forms(
    product: Product, era: str
) -> None:
    ana_key, bob_key = await product.key("ana"), await product.key("bob")
    async with product.client(ana_key, era) as ana, product.client(bob_key, era) as bob:
        await call(bob, "board_show")
        await call(ana, "event_append", event="question", text="how?", to=["bob"])
        for tool, arguments in (
            ("task_list", {}),
            ("task_create", {"tasks": [{"title": "One"}]}),
            ("board_show", {}),
        ):
            result = await bob.session.call_tool(tool, arguments)
            assert answer_of(result)["unread"] == 1
            assert text_of(result).count("1 unread: inbox_read") == 1
        refused = await bob.session.call_tool("task_get", {"task_id": "T-9"})
        assert text_of(refused).endswith("\n1 unread: inbox_read")
        inbox = await bob.session.call_tool("inbox_read", {})
        assert answer_of(inbox)["unread"] == 1
        assert "1 unread: inbox_read" not in text_of(inbox)
        seq = answer_of(inbox)["messages"][0]["seq"]
        assert (await call(bob, "inbox_read", ack_through=seq))["unread"] == 0
        quiet = await bob.session.call_tool("task_list", {})
        assert "unread" not in answer_of(quiet)
        assert "unread" not in text_of(quiet)


async def test_a_lost_lease_is_noticed_in_both_forms_until_it_was_told(
    settings: Settings, clock: TurnedClock, era: str
) -> None:
    async with serving(settings, clock) as product:
        ana_key, bob_key = await product.key("ana"), await product.key("bob")
        async with product.client(ana_key, era) as ana, product.client(bob_key, era) as bob:
            lease = (await call(ana, "lease_acquire", resources=["path:src/**"]))["leases"][0]
            clock.advance(400)
            await product.kyros.sweep()
            taken = (await call(bob, "lease_acquire", resources=["path:src/**"]))["leases"][0]
            expected = {
                "type": "lease_lost",
                "lock_id": lease["lock_id"],
                "resource": "path:src/**",
                "holder": "agent:bob",
                "fencing_token": taken["fencing_token"],
            }
            draft = {"tasks": [{"title": "One"}]}
            for tool, arguments in (("task_list", {}), ("task_create", draft)):
                result = await ana.session.call_tool(tool, arguments)
                assert answer_of(result)["notices"] == [expected]
                assert f"notice lease_lost: path:src/** {lease['lock_id']}" in text_of(result)
            assert "notices" not in await call(ana, "task_list")
