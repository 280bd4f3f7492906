/* test_audit.c - what rows may say, each for itself and all together: one sentence for each lie, none for the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "actor/collection.h"
#include "actor/key.h"
#include "actor/list_head.h"
#include "actor/map_head.h"
#include "actor/type_record.h"
#include "base/err.h"
#include "run/audit.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"

struct fixture {
    struct machine machine;
    struct sfi_problems problems;
    struct sfi_audit audit;
    int told;
    char newest[1024];
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    sfi_problems_init(&f.problems, &f.machine.sys);
    *state = &f;
    return sfi_audit_begin(&f.audit, &f.machine.sys, &f.problems);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sfi_audit_end(&f->audit);
    sfi_problems_fini(&f->problems);
    return f->machine.live == 0 ? 0 : -1;
}

static void keep_newest(const char *sentence, void *userdata)
{
    struct fixture *f = userdata;
    f->told++;
    snprintf(f->newest, sizeof f->newest, "%s", sentence);
}

/* Nothing was said since the last look. */
static void is_whole(struct fixture *f)
{
    int told = f->told;
    f->told = 0;
    sfi_problems_tell(&f->problems, keep_newest, f);
    if (f->told != told)
        fail_msg("%s", f->newest);
}

/* One thing more was said, and that is in it. */
static void says(struct fixture *f, const char *part)
{
    int told = f->told;
    f->told = 0;
    sfi_problems_tell(&f->problems, keep_newest, f);
    assert_int_equal(f->told, told + 1);
    HAS(f->newest, part);
}

/* A row with a header that fits. */
static void row(struct fixture *f, enum sfi_table table, sf_bytes key, enum sfi_record_kind kind,
                const void *payload, size_t size)
{
    unsigned char record[512];
    memcpy(record + SFI_RECORD_HEADER, payload, size);
    sfi_record_finish(record, SFI_RECORD_HEADER + size, kind, key);
    assert_int_equal(
        sfi_audit_row(&f->audit, table, key, SF_BYTES(record, SFI_RECORD_HEADER + size)), 0);
}

static void compare(struct fixture *f)
{
    assert_int_equal(sfi_audit_compare(&f->audit), 0);
}

/* -- rows ---------------------------------------------------------------------------------------- */

static void state_row(struct fixture *f, uint32_t type, const char *id, size_t size)
{
    struct sfi_key key;
    sfi_key_state(&key, type, id, strlen(id), 0);
    row(f, SFI_STATE, sfi_key_bytes(&key), SFI_RECORD_STATE, "\1\0\0\0state", size);
}

static size_t put_message(unsigned char *at, uint32_t from, uint32_t to)
{
    unsigned char *begin = at;
    sfi_le32_put(at, from);
    at[4] = from ? 1 : 0;
    at[5] = 'f';
    at += from ? 6 : 5;
    sfi_le32_put(at, to);
    at[4] = 1;
    at[5] = 't';
    memset(at + 6, 0, 4 + 8 + 8 + 2 + 1);
    return (size_t)(at + 6 + 4 + 8 + 8 + 2 + 1 - begin);
}

static void message_row(struct fixture *f, uint64_t sequence, uint32_t from, uint32_t to)
{
    unsigned char payload[100];
    struct sfi_key key;
    sfi_key_sequence(&key, sequence);
    row(f, SFI_MAILBOX, sfi_key_bytes(&key), SFI_RECORD_MESSAGE, payload,
        put_message(payload, from, to));
}

static void parked_row(struct fixture *f, const char *id, uint64_t sequence)
{
    unsigned char payload[100];
    struct sfi_key key;
    sfi_key_parked(&key, 1, id, strlen(id), sequence);
    row(f, SFI_PARKED, sfi_key_bytes(&key), SFI_RECORD_MESSAGE, payload, put_message(payload, 0, 1));
}

static void dead_row(struct fixture *f, uint64_t sequence)
{
    unsigned char payload[100] = {0, 0};
    struct sfi_key key;
    sfi_key_sequence(&key, sequence);
    row(f, SFI_DEAD, sfi_key_bytes(&key), SFI_RECORD_DEAD, payload,
        2 + put_message(payload + 2, 0, 1));
}

static void outbox_row(struct fixture *f, uint32_t egress, uint64_t sequence)
{
    struct sfi_key key;
    sfi_key_outbox(&key, egress, sequence);
    row(f, SFI_OUTBOX, sfi_key_bytes(&key), SFI_RECORD_OUTBOX, "record", 6);
}

static void type_row(struct fixture *f, const char *name, uint32_t number)
{
    struct sfi_batch batch;
    sfi_batch_init(&batch, &f->machine.sys);
    struct sfi_type *type = sfi_type_new(&f->machine.sys, name, strlen(name));
    type->number = number;
    assert_int_equal(sfi_type_save(type, &batch), 0);
    const struct sfi_op *op = &batch.tables[SFI_META].ops[0];
    assert_int_equal(sfi_audit_row(&f->audit, SFI_META, sfi_op_key(op), sfi_op_value(op)), 0);
    sfi_type_free(&f->machine.sys, type);
    sfi_batch_fini(&batch);
}

/* Records 1 to next - 1 were emitted, and those up to `trimmed` deleted. */
static void egress_row(struct fixture *f, const char *name, uint32_t number, uint64_t next,
                       uint64_t trimmed)
{
    unsigned char payload[4 + 5 * 8] = {0};
    struct sfi_key key;
    sfi_key_meta(&key, SFI_META_EGRESS, name);
    sfi_le32_put(payload, number);
    sfi_le64_put(payload + 4, next);
    sfi_le64_put(payload + 12, trimmed);
    sfi_le64_put(payload + 20, trimmed);
    row(f, SFI_META, sfi_key_bytes(&key), SFI_RECORD_EGRESS, payload, sizeof payload);
}

static void counters_row(struct fixture *f, struct sfi_counters counters)
{
    struct sfi_batch batch;
    sfi_batch_init(&batch, &f->machine.sys);
    assert_int_equal(sfi_counters_save(&counters, &batch), 0);
    const struct sfi_op *op = &batch.tables[SFI_META].ops[0];
    assert_int_equal(sfi_audit_row(&f->audit, SFI_META, sfi_op_key(op), sfi_op_value(op)), 0);
    sfi_batch_fini(&batch);
}

/* -- each for itself ----------------------------------------------------------------------------- */

static void a_row_may_name_only_types_that_can_be(void **state)
{
    struct fixture *f = *state;
    state_row(f, 0, "a", 9);
    says(f, "names type 0");
    state_row(f, SF_TYPES_MAX + 1, "a", 9);
    says(f, "which cannot be");
    state_row(f, SF_TYPES_MAX, "a", 9);
    is_whole(f);
}

static void only_a_whole_type_may_be_held_or_parked_without_an_id(void **state)
{
    struct fixture *f = *state;
    state_row(f, 1, "", 9);
    says(f, "no row of this table has such a key");
    parked_row(f, "", 1);
    parked_row(f, "a", 2);
    is_whole(f);
}

static void a_struct_has_at_least_its_version(void **state)
{
    struct fixture *f = *state;
    state_row(f, 1, "a", 4);
    is_whole(f);
    state_row(f, 1, "a", 3);
    says(f, "cut short");
}

static void keys_have_the_size_of_their_table(void **state)
{
    static const unsigned char bytes[20] = {0, 0, 0, 1, 1, 'a'};
    static const enum sfi_table tables[] = {SFI_MAILBOX, SFI_OUTBOX, SFI_DEAD, SFI_STATE,
                                            SFI_HELD, SFI_PARKED};
    static const size_t sizes[] = {7, 9, 11, 13, 5, 15};
    struct fixture *f = *state;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            if (tables[t] == SFI_PARKED && sizes[s] == 14)
                continue;
            assert_int_equal(
                sfi_audit_row(&f->audit, tables[t], SF_BYTES(bytes, sizes[s]), SF_NONE), 0);
            says(f, "no row of this table has such a key");
        }
}

static void what_a_row_holds_is_looked_at_in_every_table(void **state)
{
    static const unsigned char sequence[8] = {1}, record[12] = {1}, junk[30] = "junk";
    static const enum sfi_table sequences[] = {SFI_MAILBOX, SFI_DEAD, SFI_ENTRY, SFI_TIMER,
                                               SFI_ASYNC};
    struct fixture *f = *state;
    for (size_t t = 0; t < sizeof sequences / sizeof *sequences; t++) {
        assert_int_equal(sfi_audit_row(&f->audit, sequences[t], SF_BYTES(sequence, 8),
                                       SF_BYTES(junk, sizeof junk)), 0);
        says(f, "key \\x01\\x00");
    }
    assert_int_equal(
        sfi_audit_row(&f->audit, SFI_OUTBOX, SF_BYTES(record, 12), SF_BYTES(junk, sizeof junk)), 0);
    says(f, "table 'outbox'");
    static const unsigned char timed[18] = {1, [8] = 1};
    assert_int_equal(sfi_audit_row(&f->audit, SFI_ENTRY, SF_BYTES(timed, 18), SF_NONE), 0);
    is_whole(f); /* the order of time has keys alone */
}

static void a_row_of_meta_that_nobody_knows_is_said(void **state)
{
    struct fixture *f = *state;
    row(f, SFI_META, SF_BYTES("\xee""name", 5), SFI_RECORD_SOURCE, "", 0);
    says(f, "this library knows no such row");
}

/* -- all together -------------------------------------------------------------------------------- */

static void types_that_are_named_must_be_there(void **state)
{
    struct fixture *f = *state;
    type_row(f, "test/a", 1);
    message_row(f, 1, 0, 1);
    counters_row(f, (struct sfi_counters){.next_message = 2, .waiting = 1, .dead_first = 1,
                                          .next_dead = 1, .next_type = 2, .next_egress = 1});
    compare(f);
    is_whole(f);
    f->audit.counters.waiting = 2;
    message_row(f, 1, 2, 1); /* from */
    compare(f);
    says(f, "the type with number 2 is missing");
}

static void a_message_to_a_type_that_is_not_there_is_said(void **state)
{
    struct fixture *f = *state;
    type_row(f, "test/a", 1);
    counters_row(f, (struct sfi_counters){.next_message = 2, .waiting = 1, .dead_first = 1,
                                          .next_dead = 1, .next_type = 2, .next_egress = 1});
    message_row(f, 1, 1, 3);
    compare(f);
    says(f, "the type with number 3 is missing");
}

static void rows_are_as_many_as_were_counted(void **state)
{
    static const char *const what[] = {"messages", "messages", "dead letters", "types", "egresses"};
    struct fixture *f = *state;
    type_row(f, "test/a", 1);
    egress_row(f, "e", 1, 1, 0);
    message_row(f, 5, 0, 1);
    parked_row(f, "a", 6);
    dead_row(f, 3);
    counters_row(f, (struct sfi_counters){.next_message = 7, .waiting = 1, .parked = 1,
                                          .dead_first = 1, .dead_count = 1, .next_dead = 4,
                                          .next_type = 2, .next_egress = 2});
    compare(f);
    is_whole(f);
    uint64_t *const counts[] = {&f->audit.counters.waiting, &f->audit.counters.parked,
                                &f->audit.counters.dead_count, &f->audit.counters.next_type,
                                &f->audit.counters.next_egress};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        ++*counts[i];
        compare(f);
        says(f, what[i]);
        --*counts[i];
    }
}

static void no_row_has_a_number_that_was_never_given(void **state)
{
    struct fixture *f = *state;
    type_row(f, "test/a", 1);
    message_row(f, 5, 0, 1);
    dead_row(f, 3);
    counters_row(f, (struct sfi_counters){.next_message = 6, .waiting = 1, .dead_first = 1,
                                          .dead_count = 1, .next_dead = 4, .next_type = 2,
                                          .next_egress = 1});
    compare(f);
    is_whole(f);
    f->audit.counters.next_message = 5;
    compare(f);
    says(f, "message 5 was never given that number");
    f->audit.counters.next_message = 6;
    f->audit.counters.next_dead = 3;
    compare(f);
    says(f, "dead letter 3 was never given that number");
    f->audit.counters.next_dead = 4;
    parked_row(f, "a", 6);
    f->audit.counters.parked = 1;
    compare(f);
    says(f, "message 6 was never given that number");
}

static void records_of_an_egress_have_no_gap_and_no_rest(void **state)
{
    struct fixture *f = *state;
    egress_row(f, "e", 1, 5, 2);
    counters_row(f, (struct sfi_counters){.next_message = 1, .dead_first = 1, .next_dead = 1,
                                          .next_type = 1, .next_egress = 2});
    compare(f);
    says(f, "records 3 to 4, 0 of them");
    outbox_row(f, 1, 3);
    outbox_row(f, 1, 4);
    compare(f);
    is_whole(f);
    struct sfi_egress *egress = f->audit.egresses.first;
    egress->next = 4; /* one too many */
    compare(f);
    says(f, "2 of them are there");
    egress->trimmed = 1; /* as many, but from the second */
    compare(f);
    says(f, "records 2 to 3");
    egress->trimmed = 2;
    egress->next = 6; /* the last is missing */
    compare(f);
    says(f, "records 3 to 5");
    egress->next = 5;
    outbox_row(f, 9, 1);
    compare(f);
    says(f, "the egress with number 9 is missing");
}

/* As many, from the first on, and another last one: only the last tells. */
static void a_record_in_the_place_of_another_is_said(void **state)
{
    struct fixture *f = *state;
    egress_row(f, "e", 1, 5, 2);
    counters_row(f, (struct sfi_counters){.next_message = 1, .dead_first = 1, .next_dead = 1,
                                          .next_type = 1, .next_egress = 2});
    outbox_row(f, 1, 3);
    outbox_row(f, 1, 5);
    compare(f);
    says(f, "2 of them are there");
    f->audit.egresses.first->next = 6; /* first and last as they should be, and a gap */
    compare(f);
    says(f, "records 3 to 5, 2 of them");
}

static void a_record_that_was_deleted_long_ago_is_said(void **state)
{
    struct fixture *f = *state;
    egress_row(f, "e", 1, 5, 2);
    counters_row(f, (struct sfi_counters){.next_message = 1, .dead_first = 1, .next_dead = 1,
                                          .next_type = 1, .next_egress = 2});
    outbox_row(f, 1, 2);
    outbox_row(f, 1, 4);
    compare(f);
    says(f, "2 of them are there");
}

static void a_database_with_rows_has_counters(void **state)
{
    struct fixture *f = *state;
    compare(f);
    is_whole(f); /* nothing happened yet */
    type_row(f, "test/a", 1);
    compare(f);
    says(f, "the counters are missing");
}

/* -- sentences ----------------------------------------------------------------------------------- */

static void add(struct fixture *f, const char *key, size_t size)
{
    assert_int_equal(sfi_problems_add(&f->problems, SF_BYTES("t", 1), SF_BYTES(key, size)), 0);
}

static void a_key_is_shown_in_letters_and_as_bytes(void **state)
{
    char key[66];
    struct fixture *f = *state;
    memset(key, 'k', sizeof key);
    add(f, "a b\\\x7f~!\x01", 8);
    says(f, "key a\\x20b\\x5c\\x7f~!\\x01: ");
    add(f, key, 64);
    says(f, "kkk: ");
    add(f, key, 65);
    says(f, "kkk...: ");
    assert_int_equal(strspn(strchr(f->newest, 'k') + 4, "k"), 64);
}

static void all_problems_are_counted_and_so_many_told(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10000 + 5; i++)
        add(f, "k", 1);
    sfi_problems_tell(&f->problems, keep_newest, f);
    assert_int_equal(f->told, 10000);
    assert_int_equal(f->problems.count, 10005);
}

#define AUDIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* -- maps, lists and their rows ------------------------------------------------------------------ */

static sf_bytes slot_key(struct sfi_key *key, const char *id)
{
    sfi_key_state(key, 1, id, strlen(id), 1);
    return sfi_key_bytes(key);
}

static void map_row(struct fixture *f, const char *id, uint64_t number, uint64_t count)
{
    struct sfi_key key;
    unsigned char head[SFI_MAP_HEAD_BYTES] = {0};
    sfi_map_head_set(head, count, number);
    row(f, SFI_STATE, slot_key(&key, id), SFI_RECORD_MAP, head, sizeof head);
}

static void list_row(struct fixture *f, const char *id, uint64_t number, uint64_t first, uint64_t end)
{
    struct sfi_key key;
    unsigned char head[SFI_LIST_HEAD_BYTES];
    struct sfi_list_head list = {first, end, number, first, end, end};
    sfi_list_head_set(head, &list);
    row(f, SFI_STATE, slot_key(&key, id), SFI_RECORD_LIST, head, sizeof head);
}

static void entry_row(struct fixture *f, uint64_t number, const char *name)
{
    struct sfi_key key;
    sfi_key_entry(&key, number, sf_str(name));
    row(f, SFI_ENTRY, sfi_key_bytes(&key), SFI_RECORD_ENTRY, "\0\0\0\0\0\0\0\0x", 9);
}

/* Two elements. */
static void elements_row(struct fixture *f, uint64_t number, uint64_t first)
{
    static const unsigned char two[24] = {[0] = 8, [12] = 8};
    unsigned char name[8];
    struct sfi_key key;
    sfi_be64_put(name, first);
    sfi_key_entry(&key, number, SF_BYTES(name, 8));
    row(f, SFI_ENTRY, sfi_key_bytes(&key), SFI_RECORD_ENTRY, two, sizeof two);
}

static void promise_row(struct fixture *f, uint64_t number)
{
    struct sfi_key key;
    sfi_key_promise(&key, number);
    row(f, SFI_ENTRY, sfi_key_bytes(&key), SFI_RECORD_PROMISE,
        "\0\xff\xff\xff\xff\xff\xff\xff\xff", 9);
}

static void begin_books(struct fixture *f)
{
    type_row(f, "test/a", 1);
    counters_row(f, (struct sfi_counters){.next_message = 1, .dead_first = 1, .next_dead = 1,
                                          .next_type = 2, .next_egress = 1, .next_number = 9});
}

static void rows_that_are_counted_or_promised_to_go_are_whole(void **state)
{
    struct fixture *f = *state;
    begin_books(f);
    promise_row(f, 3);
    entry_row(f, 1, "a");
    entry_row(f, 1, "b");
    elements_row(f, 2, 5);
    elements_row(f, 2, 7);
    entry_row(f, 3, "garbage");
    map_row(f, "m", 1, 2);
    list_row(f, "l", 2, 5, 9);
    compare(f);
    is_whole(f);
}

static void entries_that_are_not_as_many_as_counted_are_said(void **state)
{
    struct fixture *f = *state;
    begin_books(f);
    entry_row(f, 1, "a");
    map_row(f, "m", 1, 2);
    compare(f);
    says(f, "2 entries are counted, 1 are there");
}

static void a_gap_in_a_list_is_said(void **state)
{
    struct fixture *f = *state;
    begin_books(f);
    elements_row(f, 2, 5);
    elements_row(f, 2, 9);
    list_row(f, "l", 2, 5, 11);
    compare(f);
    says(f, "elements 5 to 10 are not all there");
}

static void rows_of_nobody_are_said(void **state)
{
    struct fixture *f = *state;
    begin_books(f);
    entry_row(f, 4, "a");
    compare(f);
    says(f, "1 rows of number 4 are named by nobody");
}

static void rows_of_two_are_said(void **state)
{
    struct fixture *f = *state;
    begin_books(f);
    entry_row(f, 1, "a");
    map_row(f, "m", 1, 1);
    map_row(f, "n", 1, 1);
    compare(f);
    says(f, "rows of number 1 are named by two");
}

/* An entry with a time, and a row in order of time; 0: none. */
static void timed_rows(struct fixture *f, uint64_t touched, uint64_t in_order)
{
    struct sfi_key key;
    unsigned char entry[17] = {SFI_ENTRY_TOUCHED};
    begin_books(f);
    map_row(f, "m", 1, 1);
    sfi_le64_put(entry + 8, touched);
    sfi_key_entry(&key, 1, sf_str("k"));
    row(f, SFI_ENTRY, sfi_key_bytes(&key), SFI_RECORD_ENTRY, entry, sizeof entry);
    sfi_key_entry_time(&key, 1, in_order, sf_str("k"));
    if (in_order)
        row(f, SFI_ENTRY, sfi_key_bytes(&key), SFI_RECORD_ENTRY, "", 0);
    compare(f);
}

static void entries_that_lie_in_order_of_time_too_are_whole(void **state)
{
    struct fixture *f = *state;
    timed_rows(f, 500, 500);
    is_whole(f);
}

static void an_entry_at_another_time_is_said(void **state)
{
    struct fixture *f = *state;
    timed_rows(f, 500, 501);
    says(f, "its entries, and the same in order of time, differ");
}

static void an_entry_that_is_missing_in_order_of_time_is_said(void **state)
{
    struct fixture *f = *state;
    timed_rows(f, 500, 0);
    says(f, "its entries, and the same in order of time, differ");
}

static void rows_in_use_and_promised_to_go_are_said(void **state)
{
    struct fixture *f = *state;
    begin_books(f);
    promise_row(f, 1);
    entry_row(f, 1, "a");
    map_row(f, "m", 1, 1);
    compare(f);
    says(f, "in use, and promised to go");
}

static void a_number_that_was_never_given_is_said(void **state)
{
    struct fixture *f = *state;
    begin_books(f);
    entry_row(f, 9, "a");
    map_row(f, "m", 9, 1);
    compare(f);
    says(f, "number 9, which was never given");
}

/* Whatever the row in the table says, which is older. */
static void the_changelog_has_the_newest_head(void **state)
{
    struct fixture *f = *state;
    struct sfi_key key;
    begin_books(f);
    entry_row(f, 1, "a");
    assert_int_equal(sfi_audit_logged(&f->audit, slot_key(&key, "gone"), SF_NONE), 0);
    map_row(f, "gone", 1, 7);
    map_row(f, "m", 1, 1);
    compare(f);
    is_whole(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AUDIT(a_row_may_name_only_types_that_can_be),
        AUDIT(only_a_whole_type_may_be_held_or_parked_without_an_id),
        AUDIT(a_struct_has_at_least_its_version),
        AUDIT(keys_have_the_size_of_their_table),
        AUDIT(what_a_row_holds_is_looked_at_in_every_table),
        AUDIT(rows_that_are_counted_or_promised_to_go_are_whole),
        AUDIT(entries_that_are_not_as_many_as_counted_are_said),
        AUDIT(a_gap_in_a_list_is_said),
        AUDIT(rows_of_nobody_are_said),
        AUDIT(rows_of_two_are_said),
        AUDIT(entries_that_lie_in_order_of_time_too_are_whole),
        AUDIT(an_entry_at_another_time_is_said),
        AUDIT(an_entry_that_is_missing_in_order_of_time_is_said),
        AUDIT(rows_in_use_and_promised_to_go_are_said),
        AUDIT(a_number_that_was_never_given_is_said),
        AUDIT(the_changelog_has_the_newest_head),
        AUDIT(a_row_of_meta_that_nobody_knows_is_said),
        AUDIT(types_that_are_named_must_be_there),
        AUDIT(a_message_to_a_type_that_is_not_there_is_said),
        AUDIT(rows_are_as_many_as_were_counted),
        AUDIT(no_row_has_a_number_that_was_never_given),
        AUDIT(records_of_an_egress_have_no_gap_and_no_rest),
        AUDIT(a_record_in_the_place_of_another_is_said),
        AUDIT(a_record_that_was_deleted_long_ago_is_said),
        AUDIT(a_database_with_rows_has_counters),
        AUDIT(a_key_is_shown_in_letters_and_as_bytes),
        AUDIT(all_problems_are_counted_and_so_many_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
