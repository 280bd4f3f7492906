/* test_message.c - a message as a record: what is written comes back, what is cut short is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "actor/key.h"
#include "actor/mailbox.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"

enum { RECORD_MAX = 256 };

static const char reason[] = "it did not like it";

/* A row of table mailbox, dead or timer, written by the library. */
struct row {
    enum sfi_record_kind kind;
    size_t size;
    unsigned char bytes[RECORD_MAX];
};

static sf_bytes row_key(struct sfi_key *key)
{
    sfi_key_sequence(key, 7);
    return sfi_key_bytes(key);
}

enum { DUE = 77 };

static const enum sfi_record_kind kinds[] = {SFI_RECORD_MESSAGE, SFI_RECORD_DEAD,
                                             SFI_RECORD_TIMER};
static const char token[] = "token";

#define EACH(kind) (int i_ = 0; i_ < 3; i_++) for (enum sfi_record_kind kind = kinds[i_]; kind; kind = 0)

static sf_bytes key_of(enum sfi_record_kind kind, struct sfi_key *key)
{
    if (kind != SFI_RECORD_TIMER)
        return row_key(key);
    sfi_key_timer(key, DUE, 7);
    return sfi_key_bytes(key);
}

static enum sfi_table save(const struct sfi_message *message, enum sfi_record_kind kind,
                           struct sfi_batch *batch)
{
    switch (kind) {
    case SFI_RECORD_DEAD:
        OK(sfi_message_save_dead(message, 7, reason, batch));
        return SFI_DEAD;
    case SFI_RECORD_TIMER:
        OK(sfi_message_save_timer(message, DUE, 7, sf_str(token), batch));
        return SFI_TIMER;
    default:
        OK(sfi_message_save(message, SFI_ROW_MAILBOX, 123456789, batch));
        return SFI_MAILBOX;
    }
}

static void write_row_with(struct row *row, enum sfi_record_kind kind, sf_bytes body,
                           struct sfi_message_parts parts)
{
    struct machine machine;
    struct sfi_pool pool;
    struct sfi_batch batch;
    struct sfi_type from = {.number = 3}, to = {.number = 5};
    struct sfi_letter letter = {&to, &from, 0, "target", "me", "kind", 6, 2, 4, body, parts};
    machine_init(&machine);
    sfi_pool_init(&pool, &machine.sys, 64);
    sfi_batch_init(&batch, &machine.sys);
    struct sfi_message *message = sfi_message_new(&pool, &letter);
    assert_non_null(message);
    message->sequence = 7;
    message->attempts = 2;
    enum sfi_table table = save(message, kind, &batch);
    sf_bytes value = sfi_op_value(&batch.tables[table].ops[0]);
    assert_true(value.size <= RECORD_MAX);
    row->kind = kind;
    row->size = value.size;
    memcpy(row->bytes, value.data, value.size);
    sfi_message_free(&pool, message);
    sfi_pool_fini(&pool);
    sfi_batch_fini(&batch);
}

static void write_row(struct row *row, enum sfi_record_kind kind, sf_bytes body)
{
    write_row_with(row, kind, body, (struct sfi_message_parts){.has = 0});
}

static int parse(const struct row *row, struct sfi_envelope *out)
{
    struct sfi_key key;
    return sfi_envelope_parse(key_of(row->kind, &key), SF_BYTES(row->bytes, row->size), row->kind, out);
}

/* Its first `size` bytes, with the checksum made anew, in memory that ends with them. */
static int parse_as(const struct row *row, size_t size, unsigned version, struct sfi_envelope *out)
{
    static unsigned char *last;
    struct sfi_key key;
    free(last); /* what was parsed points into it */
    last = malloc(size);
    assert_non_null(last);
    memcpy(last, row->bytes, size);
    sfi_record_finish_as(last, size, row->kind, version, 0, key_of(row->kind, &key));
    return sfi_envelope_parse(key_of(row->kind, &key), SF_BYTES(last, size), row->kind, out);
}

static void is_text(sf_bytes bytes, const char *text)
{
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
}

static void is_ours(const struct sfi_envelope *envelope, enum sfi_record_kind kind, const char *body)
{
    assert_int_equal(envelope->from_type, 3);
    assert_int_equal(envelope->to_type, 5);
    is_text(envelope->from_id, "me");
    is_text(envelope->to_id, "target");
    is_text(envelope->kind, "kind");
    is_text(envelope->body, body);
    assert_int_equal(envelope->attempts, 2);
    assert_int_equal(envelope->retry_ms, kind == SFI_RECORD_MESSAGE ? 123456789 : 0);
    assert_int_equal(envelope->ask, 0);
    if (kind == SFI_RECORD_DEAD)
        is_text(envelope->reason, reason);
    if (kind == SFI_RECORD_TIMER)
        is_text(envelope->token, token);
}

static void a_message_comes_back_as_it_was_written(void **state)
{
    (void)state;
    for EACH(kind) {
        struct row row;
        struct sfi_envelope envelope;
        write_row(&row, kind, sf_str("body"));
        OK(parse(&row, &envelope));
        is_ours(&envelope, kind, "body");
        assert_int_equal(envelope.body_absent, 0);
        write_row(&row, kind, SF_NONE);
        OK(parse(&row, &envelope));
        is_ours(&envelope, kind, "");
        assert_int_equal(envelope.body_absent, 1);
    }
}

static size_t head_size(enum sfi_record_kind kind)
{
    size_t addresses = 5 + 2 + 5 + 6, numbers = 4 + 8 + 8 + 2;
    size_t before = kind == SFI_RECORD_DEAD    ? 2 + strlen(reason)
                    : kind == SFI_RECORD_TIMER ? 1 + strlen(token)
                                               : 0;
    return SFI_RECORD_HEADER + before + addresses + numbers;
}

static void a_message_of_version_1_has_no_parts(void **state)
{
    (void)state;
    for EACH(kind) {
        struct row row;
        struct sfi_envelope envelope;
        if (kind == SFI_RECORD_TIMER)
            continue; /* it never had that version */
        size_t parts_at = head_size(kind);
        write_row(&row, kind, sf_str("body"));
        assert_int_equal(row.bytes[parts_at], 0);
        memmove(row.bytes + parts_at, row.bytes + parts_at + 1, row.size - parts_at - 1);
        OK(parse_as(&row, row.size - 1, 1, &envelope));
        is_ours(&envelope, kind, "body");
    }
}

static void parts_that_nobody_knows_were_written_by_a_newer_library(void **state)
{
    (void)state;
    for (unsigned bit = 4; bit < 8; bit++) {
        struct row row;
        struct sfi_envelope envelope;
        write_row(&row, SFI_RECORD_MESSAGE, sf_str("body"));
        row.bytes[head_size(SFI_RECORD_MESSAGE)] = (unsigned char)(1 << bit);
        REFUSED(parse_as(&row, row.size, 2, &envelope), SF_ENEWER);
        SAYS("parts");
    }
}

static void the_parts_of_a_message_come_back_whichever_it_has(void **state)
{
    (void)state;
    for EACH(kind)
        for (unsigned has = 0; has < 4; has++) {
            struct row row;
            struct sfi_envelope envelope;
            struct sfi_message_parts parts = {has, UINT64_C(0x1122334455667788), 99, SF_NONE};
            write_row_with(&row, kind, sf_str("body"), parts);
            OK(parse(&row, &envelope));
            is_ours(&envelope, kind, "body");
            assert_int_equal(envelope.parts.has, has);
            assert_int_equal(envelope.parts.due_ms, has & SFI_PART_DUE ? parts.due_ms : 0);
            assert_int_equal(envelope.parts.timer, has & SFI_PART_TIMER ? parts.timer : 0);
        }
}

static void the_parts_of_a_message_in_memory_lie_past_its_body(void **state)
{
    struct machine machine;
    struct sfi_pool pool;
    struct sfi_type to = {.number = 5};
    (void)state;
    machine_init(&machine);
    sfi_pool_init(&pool, &machine.sys, 64);
    for (size_t size = 0; size < 70; size++) {
        char body[70] = {0};
        struct sfi_letter letter = {&to, NULL, 0, "target", "", "kind", 6, 0, 4,
                                    SF_BYTES(body, size), {3, 12, 34, SF_NONE}};
        struct sfi_message *message = sfi_message_new(&pool, &letter);
        struct sfi_message_parts parts = sfi_message_parts(message);
        assert_int_equal(parts.has, 3);
        assert_int_equal(parts.due_ms, 12);
        assert_int_equal(parts.timer, 34);
        assert_int_equal(sfi_message_bytes(message), sfi_message_plain_bytes(message) + 1 + 4 + 16);
        assert_int_equal(sfi_message_body(message).size, size);
        sfi_message_free(&pool, message);
    }
    sfi_pool_fini(&pool);
    assert_int_equal(machine.live, 0);
}

/* As sfi_message_parts.answer wants it; dies with the next call. */
static sf_bytes answer_bytes(sf_bytes request, const char *why)
{
    static unsigned char bytes[RECORD_MAX];
    struct sfi_answer answer = {9, SF_EFAILED, 1, request, sf_str(why)};
    assert_true(sfi_answer_size(&answer) <= sizeof bytes);
    sfi_answer_put(bytes, &answer);
    return SF_BYTES(bytes, sfi_answer_size(&answer));
}

static void an_answer_comes_back_with_what_was_asked_and_why_it_failed(void **state)
{
    (void)state;
    for EACH(kind)
        for (unsigned others = 0; others < 16; others++) {
            struct row row;
            struct sfi_envelope envelope;
            struct sfi_message_parts parts = {others | SFI_PART_ANSWER, 5, 6,
                                              answer_bytes(sf_str("ask"), "declined")};
            write_row_with(&row, kind, sf_str("body"), parts);
            OK(parse(&row, &envelope));
            is_ours(&envelope, kind, "body");
            assert_int_equal(envelope.parts.has, others | SFI_PART_ANSWER);
            assert_int_equal(envelope.answer.operation, 9);
            assert_int_equal(envelope.answer.result, SF_EFAILED);
            assert_int_equal(envelope.answer.is_awaited, 1);
            is_text(envelope.answer.request, "ask");
            is_text(envelope.answer.reason, "declined");
            parts.answer = answer_bytes(SF_NONE, "");
            write_row_with(&row, kind, SF_NONE, parts);
            OK(parse(&row, &envelope));
            assert_null(envelope.answer.request.data);
            is_text(envelope.answer.reason, "");
        }
}

static void an_answer_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct row row;
    struct sfi_envelope envelope;
    struct sfi_message_parts parts = {SFI_PART_ANSWER, 0, 0, answer_bytes(sf_str("ask"), "why")};
    write_row_with(&row, SFI_RECORD_MESSAGE, sf_str("body"), parts);
    size_t at = head_size(SFI_RECORD_MESSAGE) + 1 + 4;
    for (size_t i = at; i < at + 4 + 24; i++) { /* its size; flags and sizes within it */
        unsigned char before = row.bytes[i];
        if (i >= at + 4 && i < at + 4 + 12)
            continue; /* the operation's number and result may be any */
        row.bytes[i] = 0xFF;
        assert_true(parse_as(&row, row.size, 2, &envelope) < 0);
        row.bytes[i] = before;
    }
    for (size_t size = SFI_RECORD_HEADER; size < row.size - 4; size++)
        REFUSED(parse_as(&row, size, 2, &envelope), SF_ECORRUPT);
    OK(parse_as(&row, row.size, 2, &envelope));
}

/* Spent and nothing else, and then not even that. */
static void who_starts_over_without_other_parts_is_stored_without_any(void **state)
{
    struct machine machine;
    struct sfi_pool pool;
    struct sfi_batch batch;
    struct sfi_key key;
    struct sfi_envelope envelope;
    struct sfi_type to = {.number = 5}, from = {.number = 3};
    struct sfi_letter letter = {&to, &from, 0, "target", "me", "kind", 6, 2, 4, sf_str("body"),
                                {SFI_PART_SPENT, 0, 0, SF_NONE}};
    (void)state;
    machine_init(&machine);
    sfi_pool_init(&pool, &machine.sys, 64);
    sfi_batch_init(&batch, &machine.sys);
    struct sfi_message *message = sfi_message_new(&pool, &letter);
    message->sequence = 7;
    sfi_message_start_over(message);
    OK(sfi_message_save(message, SFI_ROW_MAILBOX, 0, &batch));
    sfi_key_sequence(&key, 7);
    OK(sfi_envelope_parse(sfi_key_bytes(&key), sfi_op_value(&batch.tables[SFI_MAILBOX].ops[0]),
                          SFI_RECORD_MESSAGE, &envelope));
    is_text(envelope.kind, "kind");
    is_text(envelope.body, "body");
    assert_int_equal(envelope.parts.has, 0);
    sfi_message_free(&pool, message);
    sfi_batch_fini(&batch);
    sfi_pool_fini(&pool);
    assert_int_equal(machine.live, 0);
}

static void who_starts_over_is_awaited_by_nobody_and_may_be_tried(void **state)
{
    struct machine machine;
    struct sfi_pool pool;
    struct sfi_type to = {.number = 5};
    (void)state;
    machine_init(&machine);
    sfi_pool_init(&pool, &machine.sys, 64);
    for (unsigned has = 0; has < 16; has++) {
        struct sfi_letter letter = {&to, NULL, 0, "target", "", "kind", 6, 0, 4, SF_NONE,
                                    {has, 12, 34, answer_bytes(sf_str("ask"), "why")}};
        struct sfi_message *message = sfi_message_new(&pool, &letter);
        assert_int_equal(sfi_message_is_awaited(message), (has & SFI_PART_ANSWER) != 0);
        assert_int_equal(sfi_message_is_spent(message), (has & SFI_PART_SPENT) != 0);
        sfi_message_start_over(message);
        assert_false(sfi_message_is_awaited(message));
        assert_false(sfi_message_is_spent(message));
        assert_int_equal(sfi_message_parts(message).due_ms, has & SFI_PART_DUE ? 12 : 0);
        assert_int_equal(sfi_message_parts(message).timer, has & SFI_PART_TIMER ? 34 : 0);
        sfi_message_free(&pool, message);
    }
    sfi_pool_fini(&pool);
    assert_int_equal(machine.live, 0);
}

static void a_message_cut_anywhere_but_in_its_body_is_refused(void **state)
{
    (void)state;
    for EACH(kind) {
        struct row row;
        struct sfi_envelope envelope;
        write_row_with(&row, kind, sf_str("body"), (struct sfi_message_parts){3, 1, 2, SF_NONE});
        size_t body_at = row.size - 4;
        for (size_t size = SFI_RECORD_HEADER; size < row.size; size++)
            if (size < body_at)
                REFUSED(parse_as(&row, size, sfi_record_newest(kind), &envelope), SF_ECORRUPT);
            else
                OK(parse_as(&row, size, sfi_record_newest(kind), &envelope));
    }
}

/* Any size within it that claims more than there is. */
static void sizes_beyond_the_record_are_refused(void **state)
{
    (void)state;
    struct row row;
    struct sfi_envelope envelope;
    size_t from_size_at = SFI_RECORD_HEADER + 4, to_size_at = from_size_at + 1 + 2 + 4;
    size_t kind_size_at = head_size(SFI_RECORD_MESSAGE) - 2;
    const size_t places[] = {from_size_at, to_size_at, kind_size_at};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        write_row(&row, SFI_RECORD_MESSAGE, SF_NONE);
        row.bytes[places[i]] = 0xFF;
        REFUSED(parse_as(&row, row.size, 2, &envelope), SF_ECORRUPT);
    }
    write_row(&row, SFI_RECORD_DEAD, SF_NONE);
    row.bytes[SFI_RECORD_HEADER] = 0xFF; /* of the reason */
    REFUSED(parse_as(&row, row.size, 2, &envelope), SF_ECORRUPT);
}

static void a_message_to_nobody_is_refused(void **state)
{
    (void)state;
    struct row row;
    struct sfi_envelope envelope;
    write_row(&row, SFI_RECORD_MESSAGE, sf_str("body"));
    row.bytes[SFI_RECORD_HEADER + 5 + 2] = 0; /* the target's type */
    REFUSED(parse_as(&row, row.size, 2, &envelope), SF_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_was_written),
        cmocka_unit_test(a_message_of_version_1_has_no_parts),
        cmocka_unit_test(parts_that_nobody_knows_were_written_by_a_newer_library),
        cmocka_unit_test(the_parts_of_a_message_come_back_whichever_it_has),
        cmocka_unit_test(the_parts_of_a_message_in_memory_lie_past_its_body),
        cmocka_unit_test(an_answer_comes_back_with_what_was_asked_and_why_it_failed),
        cmocka_unit_test(an_answer_that_contradicts_itself_is_refused),
        cmocka_unit_test(who_starts_over_without_other_parts_is_stored_without_any),
        cmocka_unit_test(who_starts_over_is_awaited_by_nobody_and_may_be_tried),
        cmocka_unit_test(a_message_cut_anywhere_but_in_its_body_is_refused),
        cmocka_unit_test(sizes_beyond_the_record_are_refused),
        cmocka_unit_test(a_message_to_nobody_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
