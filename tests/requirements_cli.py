"""What product.md promises of the command line, as `requirements.py` has it of the core."""

CLI = """
# product.md §3 and console.md §6
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
