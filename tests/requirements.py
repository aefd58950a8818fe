"""What product.md and coordination.md promise of the core, and the tests that hold each promise.

Both ways are checked by `test_requirements.py`: every named test exists, every promise has one,
and no test file of the core stands outside.
"""

from tests.requirements_cli import CLI

_MAP = """
# product.md §3: tasks
the board has exactly the moves of its table, which is data
  features/tasks/test_rules.py::test_the_board_has_exactly_the_moves_of_its_contract
  features/tasks/test_reading.py::test_the_table_of_moves_is_served_as_the_data_that_decides
ids are T-n above the highest, or given by the creator
  features/tasks/test_create.py::test_ids_follow_the_highest_number_whoever_gave_it
tasks are created whole or not at all
  features/tasks/test_create.py
    test_a_batch_is_created_whole_or_not_at_all
    test_tasks_of_a_batch_may_depend_on_each_other_in_any_order
dependencies form no circle, and the refusal names it
  features/tasks/test_create.py::test_a_circle_of_dependencies_is_refused_by_its_names
  features/tasks/test_rules.py
    test_an_edge_is_refused_exactly_when_it_closes_a_circle_and_the_circle_is_real
every refusal names its guard with facts
  features/tasks/test_claim.py::test_every_guard_of_a_claim_names_what_is_missing
  features/tasks/test_transition.py::test_the_whole_way_to_done_is_told_move_by_move
leaving claimed or in_progress needs the live lease or an operator, whose move ends it
  features/tasks/test_transition.py
    test_leaving_a_leased_column_needs_the_live_token
    test_an_operators_move_ends_the_lease_in_the_same_transaction
approved needs another reviewer, unless the workspace relaxes it
  features/tasks/test_transition.py
    test_a_reviewer_is_never_the_assignee_unless_the_workspace_says_so
done needs the whole definition of done
  features/tasks/test_transition.py::test_the_whole_way_to_done_is_told_move_by_move
a task lost more often than max_attempts waits for a person
  features/tasks/test_requeue.py::test_attempts_beyond_the_workspaces_limit_need_a_person
  features/tasks/test_claim.py::test_a_task_that_was_lost_too_often_is_not_claimed
  features/tasks/test_update.py::test_only_a_person_clears_needs_attention
claim next picks by readiness, fit and priority with ageing
  features/tasks/test_claim_next.py
    test_tasks_are_given_by_priority_then_age_then_id
    test_ageing_lifts_a_waiting_task_past_fresher_and_more_urgent_ones
    test_what_does_not_fit_is_skipped_and_counted
claim next waits for work, and says why there is none
  features/tasks/test_claim_next.py
    test_a_waiting_claim_gets_the_task_that_is_created_meanwhile
    test_an_empty_board_says_so_and_a_paused_agent_is_told
a claim grants task and resources in one go, with a brief
  features/tasks/test_claim.py
    test_a_claim_grants_the_task_and_its_resources_in_one_go
    test_a_held_resource_refuses_the_claim_and_grants_nothing
    test_the_task_that_one_holds_is_read_with_its_brief
how long a ready task is passed over has its stated bound
  features/tasks/test_rules.py
    test_after_its_bound_only_tasks_that_were_ready_earlier_pass_a_waiting_task
a zombie is told so, its write refused and logged
  features/tasks/test_requeue.py::test_a_zombie_writes_nothing_and_its_try_is_logged
  features/tasks/test_undo.py::test_a_stale_holder_undoes_nothing
a stuck writer stops no read
  store/test_reads_beside_a_stuck_writer.py
    test_a_read_is_answered_while_another_process_holds_the_write_lock
# product.md §3: leases
resources are equal names or overlapping paths
  features/leases/test_acquire.py
    test_another_holders_overlapping_lease_is_in_the_way_with_a_witness
  features/leases/test_rules.py::test_resources_meet_when_equal_or_when_some_path_matches_both
any call by the holder renews its leases
  features/leases/test_renew.py
    test_any_call_renews_at_a_third_of_the_ttl_and_not_before
    test_any_call_after_expiry_renews_nothing
waiting acquires are served first in, first out, and a set all or nothing
  features/leases/test_waiting.py
    test_whoever_waits_first_is_served_first
    test_a_set_that_waits_is_granted_whole_or_not_at_all
    test_a_request_that_meets_no_waiter_passes
shared leases upgrade when alone, and starve no writer
  features/leases/test_waiting.py
    test_a_sole_holder_upgrades_under_a_new_token
    test_shared_holders_keep_an_exclusive_request_waiting_and_new_sharers_out
a wait that would close a cycle is refused as deadlock with the cycle
  features/leases/test_waiting.py
    test_a_wait_that_closes_a_circle_is_refused_with_the_circle
a lease renewed without progress is flagged quiet, then reclaimed
  features/leases/test_quiet.py
    test_a_lease_that_is_only_renewed_is_flagged_quiet
    test_a_lease_quiet_for_twice_the_limit_is_reclaimed_and_its_task_queued
the board as of any moment and a task's revisions come from the log
  features/tasks/test_past.py
    test_the_board_at_a_moment_is_what_it_was_to_the_field
    test_every_version_of_a_task_has_one_revision_with_its_diff
    test_leases_and_agents_of_a_moment_are_folded_from_the_log
a lease's past and its waiters can be read
  features/leases/test_past.py
    test_each_hold_is_told_from_its_grant_to_its_end
    test_a_lease_names_who_waits_for_it_first_come_first
the human log and the counts of a range come from the log
  features/events/test_statistics.py
    test_buckets_share_the_events_of_a_range_among_them
    test_what_is_written_into_the_human_log_is_read_back_in_order
a late result is kept beside the task and overwrites nothing
  features/tasks/test_past.py::test_whoever_lost_a_task_may_keep_its_output_beside_it
every queued task can say why it waits
  features/tasks/test_past.py::test_a_queued_task_says_why_it_waits
claim next picks by critical path within a class
  features/tasks/test_past.py
    test_the_longest_chain_of_dependants_goes_first_within_a_class
    test_ageing_below_the_first_class_outweighs_any_chain
# product.md §3: events
one cursor serves every way of waiting, and a waiter misses nothing
  features/events/test_service.py
    test_a_waiter_misses_nothing_between_reading_and_waiting
    test_pages_follow_the_cursor_without_gap_or_repeat
agents and people append their own events; reserved names are the server's
  features/events/test_rules.py::test_a_reserved_or_plain_name_is_the_servers
  features/events/test_service.py::test_reserved_names_and_outsized_details_are_refused
# product.md §3 and §5: agents, messages, exactly once, access
agents are registered at first use, idempotent by name, and seen at every call
  features/agents/test_service.py
    test_an_agent_is_registered_by_its_first_call
    test_registering_is_idempotent_and_tells_what_changed
    test_being_seen_is_written_every_five_seconds_and_changes_no_tag
two agents are never one holder by accident
  features/agents/test_service.py::test_a_name_belongs_to_one_principal_while_its_key_lives
messages reach names, roles and all, in order, until acknowledged
  features/messages/test_service.py
    test_a_message_lies_in_the_inbox_of_everybody_it_reaches
    test_messages_stay_until_they_are_acknowledged
  features/messages/test_rules.py::test_an_address_reaches_names_roles_and_all_each_once
a success is replayed for 24 hours, also after a restart, and refusals never
  test_application.py
    test_a_success_is_replayed_for_its_key_and_done_once
    test_a_replay_outlives_a_restart
    test_a_replay_ends_after_24_hours_and_the_duty_prunes_it
    test_a_refusal_is_judged_afresh_under_the_same_key
a key is scoped to principal, agent, operation and workspace
  test_application.py::test_a_key_stands_for_one_principal_agent_operation_and_workspace
an update needs the etag, and a mismatch teaches
  features/tasks/test_update.py
    test_an_update_without_an_etag_is_asked_for_it
    test_an_update_of_an_older_version_is_taught_the_current_one
keys are shown once, hashed, scoped, bound, expiring and revocable
  features/identity/test_service.py
    test_a_secret_is_shown_once_and_is_nowhere_in_the_store
    test_a_key_never_exceeds_its_maker
    test_a_revoked_or_expired_key_opens_nothing_and_does_not_say_why
  features/identity/test_rules.py::test_a_token_opens_its_own_key_alone_until_it_ends
another workspace's ids are indistinguishable from unknown ones
  features/identity/test_service.py::test_a_workspace_is_a_wall
operations name the scope they need, and roles are bundles
  kernel/test_operation.py::test_each_role_carries_all_that_the_one_below_it_does
  test_application.py::test_scopes_are_checked_before_anything_is_touched
# coordination.md: time and §1
only the store's clock decides, and it never runs backwards
  store/test_log.py::test_time_never_runs_backwards_in_the_log
  kernel/test_time.py::test_the_systems_clock_is_steady_and_near_the_wall
a new boot or timeline gives every live lease one full TTL
  store/test_boot.py
    test_a_new_boot_gives_live_leases_a_full_ttl_and_time_goes_on
    test_a_new_timeline_gives_a_new_epoch_and_live_leases_a_full_ttl
a batch commits once, and a refusal rolls back itself alone
  store/test_batches.py
    test_what_queued_during_a_commit_is_committed_once
    test_a_refusal_takes_back_its_own_operation_alone
    test_a_statement_that_the_store_refuses_fails_its_own_operation_alone
a commit without an answer is unknown
  store/test_batches.py
    test_a_commit_whose_answer_is_lost_is_unknown_and_never_failed
    test_a_connection_that_breaks_after_its_commit_takes_nothing_back
a stopped writer is waited for in bounds and never robbed
  store/test_stalls.py::test_a_stalled_writer_is_named_in_time_and_never_robbed
reads use a snapshot and wait for no writer
  store/test_stalls.py
    test_a_read_waits_for_no_writer_and_sees_nothing_unfinished
    test_a_read_is_one_snapshot_and_stops_no_writer
commits are durable on both engines
  store/test_stalls.py::test_every_commit_is_durable_before_its_answer
an unsafe SQLite and network file systems are refused with the remedy
  store/test_engine.py
    test_an_old_sqlite_is_refused_at_start_with_the_remedy
    test_a_network_file_system_is_refused_with_the_remedy
a full disk is a clear refusal, and nothing is lost
  store/test_batches.py::test_a_store_that_cannot_be_written_to_says_storage_full_and_recovers
store conflicts are tried again a few times
  test_application.py::test_a_conflict_of_the_store_is_tried_again_a_few_times
migrations run on both engines and are what the code declares
  store/test_migrations.py::test_the_schema_goes_up_and_down_and_is_what_the_code_declares
# coordination.md §2
seq has no gap in commit order, over callers and processes
  store/test_log.py::test_processes_that_open_an_empty_store_together_write_one_gapless_log
  store/test_batches.py::test_many_callers_at_once_get_every_seq_exactly_once
events are chained by hash over their canonical bytes
  features/events/test_rules.py
    test_the_chain_is_sha_256_over_the_previous_hash_and_the_canonical_line
  kernel/test_etag.py::test_canonical_text_is_what_rfc_8785_says
nothing updates or deletes an event
  store/test_log.py::test_nothing_updates_or_deletes_an_event
what is beyond its bounds is refused
  features/tasks/test_create.py::test_a_draft_beyond_its_bounds_is_refused
  features/events/test_service.py::test_an_event_beyond_its_bounds_is_refused
  features/leases/test_acquire.py::test_an_acquire_beyond_its_bounds_is_refused
  kernel/test_ids.py::test_a_character_that_nobody_sees_is_refused
cursors are opaque and signed
  kernel/test_paging.py::test_a_cursor_with_one_changed_byte_is_refused
  features/tasks/test_reading.py::test_pages_follow_each_other_in_order_of_creation
the bell crosses processes, and a lost one delays but never loses
  adapters/change_feed/test_across_processes.py
    test_an_event_of_another_process_ends_a_wait_here
    test_a_lost_bell_delays_and_never_loses
  adapters/change_feed/test_feed.py::test_a_lost_bell_is_made_good_by_the_next_look_at_the_store
the board is a fold of the log, exact to the field
  features/tasks/test_walks.py
    test_after_any_walk_the_board_is_the_fold_of_its_log_and_every_count_is_right
# coordination.md §3
a lease is alive at its boundary and over after it
  features/leases/test_rules.py::test_a_lease_lives_to_the_last_instant_of_its_ttl_and_no_longer
  features/leases/test_renew.py::test_a_lease_lives_up_to_the_last_instant_of_its_ttl
a stale lease is never resurrected
  features/leases/test_acquire.py::test_a_stale_holder_gets_a_new_lease_never_the_old_one
a set is granted all or nothing in canonical order
  features/leases/test_acquire.py::test_a_set_is_granted_whole_in_canonical_order_or_not_at_all
acquiring again renews the same lease
  features/leases/test_acquire.py::test_acquiring_again_renews_and_gives_the_same_lease
fencing tokens are seqs of grants and strictly increase
  features/leases/test_acquire.py::test_tokens_grow_over_all_resources_of_a_workspace_for_ever
exactly one reclaim is told, whoever races
  features/tasks/test_requeue.py::test_exactly_one_reclaim_is_told_however_many_race
reclaim takes stale leases only, and says what it kept and why
  features/leases/test_release_and_reclaim.py
    test_only_stale_leases_are_reclaimed_and_the_others_kept_with_the_reason
a lost lease names the new holder and token
  features/leases/test_renew.py::test_a_lost_lease_names_the_new_holder_and_token
only the equal token of the live lease passes the fence
  features/leases/test_rules.py::test_only_the_holder_with_the_equal_token_passes_the_fence
  features/tasks/test_update.py
    test_beside_a_live_lease_others_may_touch_priority_labels_and_links_alone
  store/test_batches.py::test_a_fenced_write_leaves_its_event_and_nothing_else
release is by the holder or an operator, and idempotent
  features/leases/test_release_and_reclaim.py
    test_releasing_twice_changes_nothing
    test_an_operator_releases_for_anybody_and_is_named
a task's lease that ends returns the task to queued
  features/tasks/test_requeue.py
    test_a_released_task_lease_returns_its_task_to_queued
    test_a_reclaimed_lease_returns_its_task_to_queued_whoever_meets_it
tasks are granted by claiming only
  features/leases/test_rules.py::test_a_task_is_granted_by_claiming_alone
  features/tasks/test_transition.py::test_a_task_is_claimed_by_claiming_alone
a holder has 512 live leases at most
  features/leases/test_acquire.py::test_a_holder_has_512_live_leases_at_most
# coordination.md §4 and §9
a task sent back goes to its assignee first, after 600 s to others
  features/tasks/test_claim_next.py
    test_a_task_sent_back_goes_to_its_assignee_first_and_to_others_after_ten_minutes
undo_of permits the exact way back within 60 s
  features/tasks/test_undo.py
    test_ones_own_last_move_can_be_undone_within_a_minute
    test_an_undo_under_a_lease_passes_the_same_fence_as_any_write
closing readies dependants in the same transaction, and reopening blocks them
  features/tasks/test_transition.py
    test_closing_a_task_readies_its_dependants_and_reopening_blocks_them
    test_reopening_a_task_flags_the_dependants_that_are_past_claimed
two agents never get one task
  features/tasks/test_claim_next.py::test_a_task_is_never_given_twice_however_many_ask_at_once
a tag changes exactly when a public field does
  features/tasks/test_rules.py::test_a_tag_covers_every_public_field_and_nothing_else
  features/tasks/test_update.py::test_heartbeats_do_not_change_a_task
  features/agents/test_rules.py::test_a_revision_has_the_next_version_and_another_tag
  features/tasks/test_reading.py::test_the_tag_of_all_tasks_changes_with_any_of_them
what changes with time alone is written by a duty with its event
  features/leases/test_release_and_reclaim.py
    test_time_that_passes_alone_changes_an_agents_status_by_the_duty
  test_application.py::test_the_duties_run_by_themselves_on_a_served_store
every refusal has a stable code, a kind and JSON facts
  kernel/test_errors.py::test_every_refusal_has_a_code_a_kind_and_a_title
path overlap is exact
  features/leases/test_globs.py::test_overlap_is_exact_for_all_small_globs
a store stands at the revision that its migrations left
  store/test_revision.py::test_a_store_stands_where_its_migrations_left_it
"""
"""A promise at the margin, below it `file::test`, or a file and its tests."""


def promises() -> dict[str, list[tuple[str, str]]]:
    """`{promise: [(file, test), …]}`, files as seen from `tests/`."""
    found: dict[str, list[tuple[str, str]]] = {}
    promise = file = ""
    for line in (_MAP + CLI).splitlines():
        if line.startswith("    "):
            found[promise].append((file, line.strip()))
        elif line.startswith("  "):
            file, _, test = line.strip().partition("::")
            if test:
                found[promise].append((file, test))
        elif line and not line.startswith("#"):
            promise = line
            found[promise] = []
    return found
