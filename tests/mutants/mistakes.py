"""The mistakes that systems of this kind are known for, each with the tests or simulations that notice it.

When `make mutants` says that a snippet no longer stands in its file, the code has moved on: find the place
where the same mistake can be made now. When a mutant survives, a promise has no test.
"""

from tests.mutants.mutant import Mutant

BATCH = "shared/messaging/batch.py"
CONSUMER = "shared/messaging/consumer.py"
RELAY = "shared/messaging/relay.py"
SUBSCRIBER = "shared/messaging/subscriber.py"
TOPIC_WRITER = "shared/messaging/topic_writer.py"
IDEMPOTENCY = "shared/store/idempotency.py"
MARKS = "shared/store/marks.py"
REBUILD = "shared/store/rebuild.py"
STREAMS = "shared/store/streams.py"
TODO = "shared/store/todo.py"
TOGETHER = "shared/store/together.py"
UNIT_OF_WORK = "shared/store/unit_of_work.py"
STORE = "shared/store/store.py"
BATCH_AGAIN = (
    "tests/integration/contract/test_groups.py"
    "::test_group[kafka-a_batch_that_fails_comes_again_whole_and_then_what_follows]"
)
PLACES = "shared/messaging/places.py"
WORKER = "shared/store/worker.py"
MAILS = "services/notifications/effects.py"
PAYMENTS = "services/orders/effects.py"

SHELL = "tests/unit/shell/test_every_failure.py"
UNIT_ANYWHERE = f"{SHELL}::test_a_unit_of_work_is_whole_or_nothing"
BATCH_ANYWHERE = f"{SHELL}::test_a_batch_has_its_effects_once"
TODO_ANYWHERE = f"{SHELL}::test_what_is_to_do_is_recorded_once_and_keeps_its_key"
RELAY_ANYWHERE = f"{SHELL}::test_a_relay_sends_everything_in_order"
MEETINGS = "tests/unit/shell/test_meetings.py"
T_CONSUMER = "tests/integration/messaging/test_consumer.py"
T_RELAY = "tests/integration/messaging/test_relay.py"
T_SUBSCRIBER = "tests/integration/messaging/test_subscriber.py"
T_COMMANDS = "tests/integration/service/test_commands.py"
T_INTERLEAVINGS = "tests/integration/store/test_interleavings.py"
T_READ_MODELS = "tests/integration/store/test_read_models.py"
T_SNAPSHOTS = "tests/integration/store/test_snapshots.py"
T_STREAMS = "tests/integration/store/test_streams.py"
T_TODO = "tests/integration/store/test_todo.py"
T_TOGETHER = "tests/integration/store/test_together.py"
T_MAILS = "tests/integration/services/notifications/test_mails.py"
T_PAYMENTS = "tests/integration/services/orders/test_payments.py"

SEEDS = "orderflow simulate --seeds 1..8"
"""For mistakes that nearly every seed notices soon: a system that never comes to rest is slow to say so."""

HEARING = (
    Mutant(
        name="offset-first",
        mistake="The offset is committed before the transaction.",
        file=SUBSCRIBER,
        old="AckPolicy.NACK_ON_ERROR",
        new="AckPolicy.ACK_FIRST",
        caught_by=(BATCH_AGAIN,),
    ),
    Mutant(
        name="offset-anyway",
        mistake="The offset is committed though the transaction failed.",
        file=SUBSCRIBER,
        old="without a pause\n            raise",
        new="without a pause",
        caught_by=(BATCH_AGAIN,),
    ),
    Mutant(
        name="place-believed",
        mistake="A member begins at the offset that the broker has of its group, whatever lies before it.",
        file=PLACES,
        old="kafka.seek(tp, 0)",
        new="pass",
        caught_by=(f"{T_SUBSCRIBER}::test_offsets_of_a_topic_that_is_no_more_hide_nothing[amid-it]",),
    ),
    Mutant(
        name="no-watermark",
        mistake="A record is applied whatever its stream's mark says.",
        file=BATCH,
        old="place, mark = (item.stream, item.version), self._marks[item.stream]",
        new="place, mark = (item.stream, item.version), Mark(item.epoch, item.version - 1)",
        caught_by=(BATCH_ANYWHERE,),
    ),
    Mutant(
        name="marks-unlocked",
        mistake="Two replicas read the same mark at the same time.",
        file=MARKS,
        old='"ORDER BY stream_id FOR UPDATE"',
        new='"ORDER BY stream_id"',
        caught_by=(f"{T_CONSUMER}::test_a_replica_waits_for_the_marks_that_another_has_read",),
    ),
    Mutant(
        name="by-timestamp",
        mistake="Whether an event is new is told by timestamps instead of versions.",
        file=BATCH,
        old="if (item.epoch, item.version) <= (mark.epoch, mark.version):",
        new=(
            "if (item.epoch, item.version) <= (mark.epoch, mark.version) or any(\n"
            "            event.stream == item.stream and item.occurred_at <= event.occurred_at\n"
            "            for event in self._applied\n"
            "        ):"
        ),
        caught_by=(f"{MEETINGS}::test_a_clock_that_is_set_back_loses_nothing",),
    ),
    Mutant(
        name="out-of-order",
        mistake="A version that comes too early is applied instead of parked.",
        file=BATCH,
        old="if item.version != mark.version + 1 or item.epoch < mark.epoch:",
        new="if item.epoch < mark.epoch:",
        caught_by=(f"{T_CONSUMER}::test_reordered_versions_wait_and_are_drained_in_order",),
    ),
    Mutant(
        name="early-dropped",
        mistake="A version that comes too early is passed over.",
        file=BATCH,
        old="or item.epoch < mark.epoch:\n",
        new="or item.epoch < mark.epoch:\n            return\n",
        caught_by=(f"{T_CONSUMER}::test_reordered_versions_wait_and_are_drained_in_order",),
    ),
    Mutant(
        name="never-drained",
        mistake="What waited behind a version is not applied after it.",
        file=BATCH,
        old="next_one = parse(parked.record) if parked else None",
        new="next_one = None",
        caught_by=(f"{T_CONSUMER}::test_reordered_versions_wait_and_are_drained_in_order",),
    ),
    Mutant(
        name="mark-over-parked",
        mistake="The mark moves over an event whose reaction failed.",
        file=BATCH,
        old="self._park(item, Reason.FAILED, error)\n                return False",
        new=(
            "self._park(item, Reason.FAILED, error)\n"
            "                self._moved[item.stream] = Mark(item.epoch, item.version)\n"
            "                self._marks[item.stream] = self._moved[item.stream]\n"
            "                return False"
        ),
        caught_by=(f"{MEETINGS}::test_a_refusal_that_nobody_expects_parks_its_event",),
    ),
    Mutant(
        name="refusals-swallowed",
        mistake="Every refusal is taken for an expected one.",
        file=BATCH,
        old="if refusal.code not in do.expects:",
        new="if refusal.code is None:",
        caught_by=(f"{MEETINGS}::test_a_refusal_that_nobody_expects_parks_its_event",),
    ),
    Mutant(
        name="lost-connection-parks",
        mistake="A lost connection is held against the records.",
        file=CONSUMER,
        old="except CONNECTION_LOST:\n            raise\n        except Exception as error:",
        new=(
            "except CONNECTION_LOST as lost:\n"
            "            for record in records:\n"
            "                await self._park_failed(record, lost, False)\n"
            "        except Exception as error:"
        ),
        caught_by=(
            BATCH_ANYWHERE,
            f"{T_CONSUMER}::test_a_connection_lost_amid_a_batch_parks_nothing_and_loses_nothing",
        ),
    ),
    Mutant(
        name="conflict-drops",
        mistake="A batch that met another writer is given up.",
        file=CONSUMER,
        old="except TRY_AGAIN:\n                attempt += 1",
        new="except TRY_AGAIN:\n                return",
        caught_by=(f"{MEETINGS}::test_replicas_that_add_to_one_stream_both_count",),
    ),
    Mutant(
        name="tail-lost",
        mistake="After an error in a batch its tail is forgotten.",
        file=CONSUMER,
        old="for record in records:\n                await self._apply_alone(record)",
        new="for record in records[:2]:\n                await self._apply_alone(record)",
        caught_by=(f"{T_CONSUMER}::test_what_fails_in_the_database_parks_only_its_own_stream",),
    ),
    Mutant(
        name="malformed-dropped",
        mistake="A record that cannot be read is thrown away.",
        file=BATCH,
        old="if rows := [*self._parked.values(), *malformed]:",
        new="if rows := [*self._parked.values()]:",
        caught_by=(
            f"{T_CONSUMER}::test_a_malformed_record_amid_a_batch_is_parked_while_the_others_flow[null]",
        ),
    ),
    Mutant(
        name="history-reacted-to",
        mistake="A new consumer reacts to history.",
        file="shared/messaging/reading.py",
        old="and event.occurred_at < subscription.react_since",
        new="and False",
        caught_by=(f"{T_CONSUMER}::test_events_from_before_react_since_only_project",),
    ),
    Mutant(
        name="heard-rows-apart",
        mistake="Heard events are projected in a second transaction.",
        file=BATCH,
        old="await self._uow.hear(model, self._applied)",
        new=(
            "async with self._uow._store._backend.transaction() as second:\n"
            "                await second.project(model, self._applied)"
        ),
        caught_by=(BATCH_ANYWHERE,),
    ),
)

REMEMBERING = (
    Mutant(
        name="conflict-ignored",
        mistake="A version that is there already is left out without a word.",
        file=STREAMS,
        old="ORDER BY n\n    RETURNING position, stream_id",
        new="ORDER BY n\n    ON CONFLICT DO NOTHING\n    RETURNING position, stream_id",
        caught_by=(f"{T_STREAMS}::test_a_stale_expected_version_is_a_conflict_and_writes_nothing",),
    ),
    Mutant(
        name="no-expected-version",
        mistake="The expected version is not looked at: a stream can have gaps.",
        file=STREAMS,
        old="if gaps:",
        new="if gaps is None:",
        caught_by=(f"{T_STREAMS}::test_a_version_that_would_leave_a_gap_is_refused",),
    ),
    Mutant(
        name="loaded-by-time",
        mistake="A stream's events are read in the order of their timestamps.",
        file=STREAMS,
        old="WHERE stream_id = $1 ORDER BY version",
        new="WHERE stream_id = $1 ORDER BY occurred_at",
        caught_by=(f"{T_STREAMS}::test_a_clock_that_is_set_back_changes_no_order",),
    ),
    Mutant(
        name="appended-unsorted",
        mistake="Units of work lock the streams that they write in any order.",
        file=STREAMS,
        old="ordered = sorted(events, key=lambda event: (event.stream, event.version))",
        new="ordered = list(events)",
        caught_by=(f"{T_INTERLEAVINGS}::test_units_of_work_write_their_streams_in_one_order",),
    ),
    Mutant(
        name="stale-retry",
        mistake="After a conflict the state of the first try is decided on again.",
        file=STORE,
        old="async with self.unit_of_work(cause, lock=lock) as uow:",
        new=(
            "async with self.unit_of_work(cause, lock=lock) as uow:\n"
            "                    uow._streams = self.__dict__.setdefault(id(work), uow._streams)"
        ),
        caught_by=(f"{MEETINGS}::test_who_came_second_decides_on_fresh_state", SEEDS),
    ),
    Mutant(
        name="refused-half-kept",
        mistake="Events of a refused attempt stay in the unit of work.",
        file=UNIT_OF_WORK,
        old="del part[length:]",
        new="pass",
        caught_by=(f"{T_STREAMS}::test_an_attempt_that_raises_leaves_the_rest_of_its_unit",),
    ),
    Mutant(
        name="refused-in-company",
        mistake="Events of a refused unit stay in the transaction that it shares.",
        file=TOGETHER,
        old="with uow.attempt(unit.cause):",
        new="if unit.cause:",
        caught_by=(f"{T_TOGETHER}::test_a_refused_unit_leaves_nothing_and_the_others_alone",),
    ),
    Mutant(
        name="shared-asked-again",
        mistake="Units whose shared commit got no answer are done again.",
        file=TOGETHER,
        old="except CONNECTION_LOST as error:",
        new="except ZeroDivisionError as error:",
        caught_by=(f"{SHELL}::test_units_that_share_a_transaction_happen_at_most_once",),
    ),
    Mutant(
        name="snapshot-of-nothing",
        mistake="The state that a rolled back unit of work came to is kept.",
        file=STORE,
        old="self.snapshots.drop(touched)",
        new="self.snapshots.keep(uow.snapshots)",
        caught_by=(f"{T_SNAPSHOTS}::test_a_unit_that_fails_leaves_nothing_behind",),
    ),
    Mutant(
        name="snapshot-believed",
        mistake="A kept state counts without a look at whether its last event is stored.",
        file=UNIT_OF_WORK,
        old="found[stream][:1] != [snapshot.last]",
        new="not snapshot.last",
        caught_by=(f"{T_SNAPSHOTS}::test_a_snapshot_of_what_is_not_stored_is_found_out",),
    ),
    Mutant(
        name="events-apart",
        mistake="Events are committed at once, before what follows from them is written.",
        file=UNIT_OF_WORK,
        old="alone = last and not (",
        new="alone = last or not (",
        caught_by=(f"{T_STREAMS}::test_a_reused_key_writes_neither_answer_nor_events",),
    ),
    Mutant(
        name="own-rows-apart",
        mistake="Own events are projected in a second transaction.",
        file=UNIT_OF_WORK,
        old="await self.session.project(model, self._events)",
        new=(
            "async with self._store._backend.transaction() as second:\n"
            "                    await second.project(model, self._events)"
        ),
        caught_by=(UNIT_ANYWHERE,),
    ),
    Mutant(
        name="todo-apart",
        mistake="What is to be done is noted in a second transaction.",
        file=UNIT_OF_WORK,
        old="await self.session.add_todo(entries)",
        new="async with self._store.session() as second:\n                await second.add_todo(entries)",
        caught_by=(UNIT_ANYWHERE,),
    ),
    Mutant(
        name="answer-apart",
        mistake="The answer to an Idempotency-Key is kept in a second transaction.",
        file=UNIT_OF_WORK,
        old="await self.session.remember(answer)",
        new="async with self._store.session() as second:\n                await second.remember(answer)",
        caught_by=(UNIT_ANYWHERE,),
    ),
    Mutant(
        name="key-of-everybody",
        mistake="An Idempotency-Key is looked up without whose it is and where it was used.",
        file=IDEMPOTENCY,
        old="WHERE principal = $1 AND route = $2 AND key = $3",
        new="WHERE $1 <> '' AND $2 <> '' AND key = $3",
        caught_by=(f"{T_COMMANDS}::test_a_key_belongs_to_its_principal_and_its_route",),
    ),
    Mutant(
        name="rebuild-reacts",
        mistake="A rebuild asks for the effects of history again.",
        file=REBUILD,
        old="after_first_pass()\n",
        new=(
            "after_first_pass()\n"
            "        from shared.store import todo\n"
            "        async with pool.acquire() as reacting, reacting.transaction():\n"
            '            async for chunk in streams.read_on(reacting, registry, "true"):\n'
            "                for event in chunk:\n"
            '                    again = todo.effect("again", event.stream)\n'
            "                    await todo.add(reacting, [todo.follow_up(event, again)])\n"
        ),
        caught_by=(f"{T_READ_MODELS}::test_a_rebuild_asks_for_nothing_to_be_done",),
    ),
    Mutant(
        name="rebuild-by-cursor",
        mistake="A rebuild's second pass begins where the first ended: who committed late is missed.",
        file=REBUILD,
        old="pg_snapshot_xmin",
        new="pg_snapshot_xmax",
        caught_by=(f"{T_READ_MODELS}::test_a_write_that_was_open_during_the_first_pass_is_not_missed",),
    ),
)

DOING = (
    Mutant(
        name="timer-not-removed",
        mistake="A timer that its state no longer asks for stays.",
        file=UNIT_OF_WORK,
        old="await self.session.remove_timers(dropped)",
        new="dropped.clear()",
        caught_by=(f"{T_TODO}::test_a_deadline_sets_moves_and_removes_its_timer",),
    ),
    Mutant(
        name="timer-not-moved",
        mistake="A timer that is set stays where it is when its deadline moves.",
        file=UNIT_OF_WORK,
        old="if before.get(name) != due",
        new="if name not in before",
        caught_by=(f"{T_TODO}::test_a_deadline_sets_moves_and_removes_its_timer",),
    ),
    Mutant(
        name="timer-unasked",
        mistake="A timer fires without a look at what its state says now.",
        file=WORKER,
        old="if due is not None and due <= uow.now:",
        new="if due is not None:",
        caught_by=(f"{T_TODO}::test_a_timer_that_comes_before_its_deadline_is_moved_to_it",),
    ),
    Mutant(
        name="lease-not-looked-at",
        mistake="A worker records its outcome though another has taken the row over.",
        file=TODO,
        old=" AND todo.lease = done.lease",
        new="",
        caught_by=(f"{T_TODO}::test_a_worker_that_lost_its_lease_records_nothing",),
    ),
    Mutant(
        name="lease-lost-recorded",
        mistake="A row that is no longer held is recorded all the same.",
        file=UNIT_OF_WORK,
        old='raise LeaseLost(", ".join(str(row.todo_id) for row in self._finished))',
        new="pass",
        caught_by=(f"{T_TODO}::test_a_worker_that_lost_its_lease_records_nothing",),
    ),
    Mutant(
        name="leased-claimed",
        mistake="A row that another worker holds is claimed too.",
        file=TODO,
        old="AND (leased_until IS NULL OR leased_until < $1)",
        new="",
        caught_by=(f"{T_TODO}::test_a_worker_that_lost_its_lease_records_nothing",),
    ),
    Mutant(
        name="todo-deleted-first",
        mistake="A row is deleted before its effect is made.",
        file=WORKER,
        old="outcome: Sequence[Any] = await self._duties.effects[row.name](row)",
        new=(
            "async with self._store.unit_of_work(cause) as first:\n"
            "                first.finish(row)\n"
            "            for command in await self._duties.effects[row.name](row):\n"
            "                async with self._store.unit_of_work(cause) as second:\n"
            "                    await self._execute(second, command, cause)\n"
            '            return "done"\n'
            "            outcome: Sequence[Any] = ()"
        ),
        caught_by=(TODO_ANYWHERE,),
    ),
    Mutant(
        name="todo-deleted-apart",
        mistake="A row is deleted in a second transaction, after its outcome is recorded.",
        file=WORKER,
        old="await self._store.transact(cause, record, streams=streams)",
        new=(
            "for command in outcome:\n"
            "            async with self._store.unit_of_work(cause) as first:\n"
            "                await self._execute(first, command, cause)\n"
            "        async with self._store.session() as second:\n"
            "            await second.finish_todo(row)"
        ),
        caught_by=(TODO_ANYWHERE,),
    ),
    Mutant(
        name="effect-new-key",
        mistake="Each try of an effect has a key of its own.",
        file=TODO,
        old='todo_id=row["todo_id"],\n',
        new='todo_id=row["todo_id"] if row["kind"] != Kind.EFFECT or row["attempts"] == 1 else uuid4(),\n',
        caught_by=(f"{T_TODO}::test_an_outside_that_gives_no_answer_is_asked_again_with_the_same_key",),
    ),
    Mutant(
        name="wanted-twice",
        mistake="What one event asks for has another id each time it is asked for.",
        file=TODO,
        old='return derive("todo", cause_id, self.kind, self.name, self.target or self.stream)',
        new="return uuid4()",
        caught_by=(
            "tests/unit/notifications/test_reactions.py"
            "::test_the_same_event_wants_the_same_rows_and_a_resend_another",
        ),
    ),
    Mutant(
        name="captured-twice",
        mistake="Each try of a capture is one of its own to the provider.",
        file=PAYMENTS,
        old="intent, capture.capture_id, capture.amount, str(row.todo_id)",
        new="intent, row.lease, capture.amount, str(row.lease)",
        caught_by=(f"{T_PAYMENTS}::test_a_retry_looks_for_what_its_first_try_did",),
    ),
    Mutant(
        name="capture-not-looked-up",
        mistake="A capture is asked for again without a look at what its first try did.",
        file=PAYMENTS,
        old='ref, code = intent.captures.get(capture.capture_id), "ORDER_CANCELLED"',
        new='ref, code = None, "ORDER_CANCELLED"',
        caught_by=(f"{T_PAYMENTS}::test_a_retry_looks_for_what_its_first_try_did",),
    ),
    Mutant(
        name="refund-not-looked-up",
        mistake="A refund is asked for again without a look at what its first try did.",
        file=PAYMENTS,
        old="if ref := intent.refunds.get(refund.refund_id):",
        new="if ref := None:",
        caught_by=(f"{T_PAYMENTS}::test_a_retry_looks_for_what_its_first_try_did",),
    ),
    Mutant(
        name="mail-new-id",
        mistake="Each try of a mail has a Message-ID of its own.",
        file=MAILS,
        old="letter = self._write(mail, to, effect_id)",
        new="letter = self._write(mail, to, row.lease)",
        caught_by=(f"{T_MAILS}::test_a_crash_between_sending_and_recording_repeats_the_same_message_id",),
    ),
    Mutant(
        name="mail-not-looked-up",
        mistake="A mail whose outcome is recorded is sent again.",
        file=MAILS,
        old="if await self.store.read(MESSAGE, effect_id) is not None:",
        new="if await self.store.read(MESSAGE, effect_id) is ...:",
        caught_by=(f"{T_MAILS}::test_even_a_lost_todo_table_gives_no_second_mail",),
    ),
)

TELLING = (
    Mutant(
        name="outbox-deleted-first",
        mistake="Outbox rows are deleted before the broker acknowledged them.",
        file=RELAY,
        old="while chunk.rows:\n",
        new="while chunk.rows:\n            await self._tell(outbox, chunk)\n",
        caught_by=(
            RELAY_ANYWHERE,
            f"{T_RELAY}::test_what_the_broker_did_not_acknowledge_stays_in_the_outbox",
        ),
    ),
    Mutant(
        name="acknowledgement-unread",
        mistake="A batch that the broker did not take counts as sent.",
        file=TOPIC_WRITER,
        old="first) for partition, first, future in sent]",
        new="first) for partition, first, future in sent if not future.exception()]",
        caught_by=(f"{T_RELAY}::test_what_the_broker_did_not_acknowledge_stays_in_the_outbox",),
    ),
    Mutant(
        name="relay-cursor",
        mistake="The relay goes by the last position that it sent: who commits late is skipped.",
        file=RELAY,
        old="chunk = _Chunk(await outbox.oldest(self._settings.chunk))",
        new=(
            'last = self.__dict__.get("last", 0)\n'
            "        rows = [row for row in await outbox.oldest(self._settings.chunk) if row[0] > last]\n"
            '        self.__dict__["last"] = max((position for position, _ in rows), default=last)\n'
            "        chunk = _Chunk(rows)"
        ),
        caught_by=(f"{MEETINGS}::test_what_commits_late_is_sent_late", SEEDS),
    ),
    Mutant(
        name="loss-not-mended",
        mistake="A topic that lost its data is noticed and not filled again.",
        file=RELAY,
        old="await outbox.refill(self._settings.public)",
        new="await outbox.refill(frozenset())",
        caught_by=(f"{MEETINGS}::test_a_topic_that_lost_everything_is_filled_again",),
    ),
    Mutant(
        name="loss-not-noticed",
        mistake="Nobody looks whether the topic still has what it acknowledged.",
        file=RELAY,
        old="if end < self._next.get(partition, 0)",
        new="if end < 0",
        caught_by=(f"{MEETINGS}::test_a_topic_that_lost_everything_is_filled_again",),
    ),
)

MUTANTS = (*HEARING, *REMEMBERING, *DOING, *TELLING)
