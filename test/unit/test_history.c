/* test_history.c - the checker of histories tells good ones from bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "support/history.h"
#include "support/support.h"

#define APPEND(k) {.key = (k), .is_append = 1}
#define READ(k) {.key = (k)}
#define LIST(...) {sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), {__VA_ARGS__}}
#define NOTHING {0, {0}}

static char sentence[300];

static int judge(const struct history_txn *txns, uint32_t count, const struct history_list *lists)
{
    struct history history = {txns, count, 20, lists, 2};
    sentence[0] = 0;
    return history_check(&history, sentence, sizeof sentence);
}

#define GOOD(txns, lists) assert_int_equal(judge(txns, sizeof txns / sizeof *txns, lists), 0)
#define BAD(txns, lists, part)                                                                     \
    do {                                                                                           \
        assert_int_equal(judge(txns, sizeof txns / sizeof *txns, lists), -1);                      \
        HAS(sentence, part);                                                                       \
    } while (0)

static void one_after_the_other_is_good(void **state)
{
    (void)state;
    const struct history_txn txns[] = {
        {1, 2, 2, {APPEND(0), APPEND(1)}, {NOTHING, NOTHING}},
        {3, 4, 2, {READ(0), APPEND(1)}, {LIST(1), NOTHING}},
        {5, 6, 2, {READ(0), READ(1)}, {LIST(1), LIST(1, 2)}},
    };
    const struct history_list lists[] = {LIST(1), LIST(1, 2)};
    GOOD(txns, lists);
}

static void who_overlaps_may_come_in_either_order(void **state)
{
    (void)state;
    const struct history_txn txns[] = {
        {1, 3, 1, {APPEND(0)}, {NOTHING}},
        {2, 4, 1, {READ(0)}, {NOTHING}}, /* before it */
    };
    const struct history_list lists[] = {LIST(1), NOTHING};
    GOOD(txns, lists);
}

static void a_read_of_what_was_is_bad_when_the_answer_came_before(void **state)
{
    (void)state;
    const struct history_txn txns[] = {
        {1, 2, 1, {APPEND(0)}, {NOTHING}},
        {3, 4, 1, {READ(0)}, {NOTHING}},
    };
    const struct history_list lists[] = {LIST(1), NOTHING};
    BAD(txns, lists, "no order");
}

/* Each read what the other was about to write: snapshots would allow it. */
static void write_skew_is_bad(void **state)
{
    (void)state;
    const struct history_txn txns[] = {
        {1, 3, 2, {READ(0), APPEND(1)}, {NOTHING, NOTHING}},
        {2, 4, 2, {READ(1), APPEND(0)}, {NOTHING, NOTHING}},
    };
    const struct history_list lists[] = {LIST(2), LIST(1)};
    BAD(txns, lists, "no order");
}

static void writes_in_two_orders_are_bad(void **state)
{
    (void)state;
    const struct history_txn txns[] = {
        {1, 3, 2, {APPEND(0), APPEND(1)}, {NOTHING, NOTHING}},
        {2, 4, 2, {APPEND(0), APPEND(1)}, {NOTHING, NOTHING}},
    };
    const struct history_list lists[] = {LIST(1, 2), LIST(2, 1)};
    BAD(txns, lists, "no order");
}

/* One list as it was before, the other as it was after. */
static void a_read_in_the_middle_of_another_is_bad(void **state)
{
    (void)state;
    const struct history_txn txns[] = {
        {1, 3, 2, {APPEND(0), APPEND(1)}, {NOTHING, NOTHING}},
        {2, 4, 2, {READ(0), READ(1)}, {LIST(1), NOTHING}},
    };
    const struct history_list lists[] = {LIST(1), LIST(1)};
    BAD(txns, lists, "no order");
}

static void what_was_answered_must_be_there_and_what_was_not_may(void **state)
{
    (void)state;
    struct history_txn txns[] = {{1, 2, 2, {APPEND(0), APPEND(1)}, {NOTHING, NOTHING}}};
    const struct history_list none[] = {NOTHING, NOTHING}, half[] = {LIST(1), NOTHING},
                              both[] = {LIST(1), LIST(1)};
    GOOD(txns, both);
    BAD(txns, none, "2 of its 2 appends are lost");
    BAD(txns, half, "1 of its 2 appends are lost");
    txns[0].answered = 0;
    GOOD(txns, both);
    GOOD(txns, none);
    BAD(txns, half, "only 1 of 2 appends");
}

static void lists_hold_each_number_once_and_only_what_was_appended(void **state)
{
    (void)state;
    const struct history_txn txns[] = {{1, 2, 1, {APPEND(0)}, {NOTHING}}};
    const struct history_list twice[] = {LIST(1, 1), NOTHING}, foreign[] = {LIST(1), LIST(1)},
                              unknown[] = {LIST(1, 7), NOTHING};
    BAD(txns, twice, "holds 1 twice");
    BAD(txns, foreign, "list 1 holds 1, which nobody appended");
    BAD(txns, unknown, "list 0 holds 7, which nobody appended");
}

static void a_read_is_a_beginning_of_the_list(void **state)
{
    (void)state;
    const struct history_txn txns[] = {
        {1, 3, 1, {APPEND(0)}, {NOTHING}},
        {2, 4, 1, {APPEND(0)}, {NOTHING}},
        {5, 6, 1, {READ(0)}, {LIST(2)}},
    };
    const struct history_list lists[] = {LIST(1, 2), NOTHING};
    BAD(txns, lists, "never held");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_after_the_other_is_good),
        cmocka_unit_test(who_overlaps_may_come_in_either_order),
        cmocka_unit_test(a_read_of_what_was_is_bad_when_the_answer_came_before),
        cmocka_unit_test(write_skew_is_bad),
        cmocka_unit_test(writes_in_two_orders_are_bad),
        cmocka_unit_test(a_read_in_the_middle_of_another_is_bad),
        cmocka_unit_test(what_was_answered_must_be_there_and_what_was_not_may),
        cmocka_unit_test(lists_hold_each_number_once_and_only_what_was_appended),
        cmocka_unit_test(a_read_is_a_beginning_of_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
