"""What product.md promises of proofs and the command line; see `requirements.py`."""

CLI = """
# product.md §3 and console.md §6
signed checkpoints stand beside the log, and verify names what was altered or removed
  store/test_checkpoints.py
    test_every_thousandth_event_is_signed_without_waiting
    test_nothing_updates_or_deletes_a_checkpoint
  features/events/test_verifying.py
    test_one_flipped_bit_is_named_with_its_seq
    test_checkpoints_show_a_cut_tail_and_a_full_rewrite
a summary of a range cites its seqs, without any model, and can join the human log
  features/events/test_summaries.py
    test_a_summary_tells_what_became_of_tasks_and_cites_every_event
    test_what_others_wrote_stays_one_quoted_line_and_is_no_markup
  features/events/test_service.py::test_an_appended_summary_is_an_entry_of_the_human_log
verify names the first seq that differs, of a store or of an exported file without one
  cli/test_verify.py
    test_an_exported_file_is_walked_without_a_store_and_the_first_difference_named
    test_whoever_writes_into_the_store_is_found_out
    test_a_cut_tail_shows_by_checkpoints_alone
    test_a_full_rewrite_shows_by_checkpoints_kept_elsewhere
guard says as an exit code and one line whether a path may be written now
  cli/test_guard.py
    test_a_path_is_refused_when_anothers_live_lease_covers_it
    test_with_require_lease_ones_own_lease_must_cover_it
    test_a_hook_is_refused_with_two_and_told_why_on_stderr
    test_guard_needs_the_standard_library_only
  cli/test_guard_install.py
    test_both_hooks_are_shown_and_written_once
    test_a_commit_of_what_another_holds_is_refused
a lease lives while its command does, and a lost one ends the command
  cli/test_lease_run.py
    test_a_lease_lives_as_long_as_the_command
    test_a_lost_lease_ends_the_command
    test_a_server_that_stays_away_ends_the_command_with_its_lease
"""
