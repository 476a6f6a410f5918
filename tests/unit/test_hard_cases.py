"""What went wrong in systems that do this job, and the tests that show that it does not here."""

from collections.abc import Mapping

import pytest

from tests.unit.test_readme import DEFINED

CASES: Mapping[str, tuple[str, ...]] = {
    "a 24-hour expiry, worked out as days * 24 + minutes, came after 47 hours": (
        "test_r2_r13_every_wait_of_an_order_is_as_long_as_its_policy_says",
        "test_r14_29_59_999_is_the_buyers_own_and_30_00_000_is_not",
        "test_r9_ship_by_leaves_as_many_working_days_as_the_handling_time",
        "test_r16_the_return_window_ends_with_a_local_day_across_a_clock_change",
    ),
    "at most 100 expirations in each beat of five minutes": (
        "test_p5_a_hundred_thousand_holds_of_one_minute_end_once_each_in_time_and_none_early",
    ),
    "a payment raced the deadline: the order expired although it had just been paid": (
        "test_r7_p2_in_the_millisecond_of_a_deadline_one_wins_and_the_books_balance",
        "test_p5_an_input_that_was_there_before_is_decided_before_the_deadline",
        "test_r6_at_the_same_instant_the_order_in_the_log_decides_and_money_follows",
        "test_r9_a_payment_in_the_last_millisecond_of_its_window_releases_the_order",
    ),
    "canceled while the payment ran: charged, and never paid back": (
        "test_r7_what_is_not_owed_goes_back_and_never_more_than_came",
        "test_r7_r25_of_two_payments_and_a_cancel_all_goes_back_in_whatever_order",
        "test_r7_money_that_comes_after_the_cancel_is_asked_back_once",
    ),
    "messages were acknowledged although their handler had thrown": (
        "test_p6_a_decision_that_fails_is_kept_with_its_traceback",
        "test_p6_while_the_dead_letter_topic_is_away_nothing_passes_and_nothing_is_lost",
        "test_p3_p6_killed_at_any_step_nothing_is_lost_or_done_twice",
    ),
    "a failed command's id was remembered, so that its retry was answered as done": (
        "test_p6_an_outside_event_that_failed_is_decided_when_it_comes_again",
        "test_a_fact_of_ours_that_failed_is_news_when_it_is_replayed_after_a_later_one",
        "test_p3_killed_around_a_call_it_is_made_again_under_its_key_and_decided_once",
    ),
    "an unknown product counted as in stock; stock was lowered silently to 0": (
        "test_r4_an_unknown_sku_has_nothing_available_and_stays_unknown",
        "test_r4_too_few_units_or_an_unknown_sku_cancel_the_order_and_the_buyer_is_told",
        "test_r1_all_lines_are_reserved_or_none",
    ),
    "reserved stock was never freed where something failed": (
        "test_r1_every_failing_path_brings_the_stock_back_to_its_baseline",
        "test_r18_of_what_the_seller_does_not_have_nothing_comes_back",
    ),
    "messages were counted, not distinct checks: one of them twice validated the order": (
        "test_p3_an_order_whose_every_event_is_sent_twice_comes_to_what_its_twin_does",
        "test_p3_all_that_kafka_holds_delivered_again_is_no_news_and_deadlines_still_come",
        "test_r9_a_condition_that_came_twice_is_no_news",
        "TestMarketplace",
    ),
    "one message that could not be handled stopped all later orders": (
        "test_p6_the_whole_poison_list_is_kept_byte_for_byte_and_its_neighbours_go_on",
        "test_p6_a_decision_that_fails_stops_at_its_own_event",
        "test_p6_no_time_that_a_record_or_its_log_may_claim_is_more_than_a_verdict",
    ),
    "an outage of the fraud service counted as a refusal, and each retry as spend": (
        "test_r8_an_order_counts_once_and_keeps_its_first_answer",
        "test_r5_unknown_is_recorded_and_the_order_waits_on",
        "test_r5_a_provider_that_is_not_there_is_unknown",
        "test_p3_asked_again_with_its_key_nothing_is_done_twice_and_the_first_answer_is_given",
    ),
    "an order whose items were all canceled ended as completed": (
        "test_r11_the_status_is_counted_from_units",
        "test_r13_of_a_partly_shipped_order_the_open_units_are_canceled",
    ),
    "two lines with the same SKU oversold it": (
        "test_r1_lines_of_the_same_sku_are_summed",
        "test_r1_the_largest_order_asks_for_all_its_lines_as_one_and_its_facts_can_be_read",
    ),
    "a partial shipment lowered the stock by the whole line": (
        "test_r11_packages_take_their_units_and_edits_bring_them_back",
        "test_r11_a_part_is_shipped_and_then_the_rest",
    ),
    "days were counted from the server's midnight": (
        "test_r9_days_are_the_marketplaces_and_not_the_servers",
        "test_days_follow_each_other_without_gap_or_overlap",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_went_wrong_elsewhere_is_tested_here(case: str) -> None:
    assert CASES[case]
    assert [name for name in CASES[case] if name not in DEFINED] == []
