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

/* A row of table mailbox or dead, written by the library. */
struct row {
    int is_dead;
    size_t size;
    unsigned char bytes[RECORD_MAX];
};

static sf_bytes row_key(struct sfi_key *key)
{
    sfi_key_sequence(key, 7);
    return sfi_key_bytes(key);
}

static int save(const struct sfi_message *message, int is_dead, struct sfi_batch *batch)
{
    return is_dead ? sfi_message_save_dead(message, 7, reason, batch)
                   : sfi_message_save(message, SFI_ROW_MAILBOX, 123456789, batch);
}

static void write_row(struct row *row, int is_dead, sf_bytes body)
{
    struct machine machine;
    struct sfi_pool pool;
    struct sfi_batch batch;
    struct sfi_type from = {.number = 3}, to = {.number = 5};
    struct sfi_letter letter = {&to, &from, 0, "target", "me", "kind", 6, 2, 4, body};
    machine_init(&machine);
    sfi_pool_init(&pool, &machine.sys, 64);
    sfi_batch_init(&batch, &machine.sys);
    struct sfi_message *message = sfi_message_new(&pool, &letter);
    assert_non_null(message);
    message->sequence = 7;
    message->attempts = 2;
    assert_int_equal(save(message, is_dead, &batch), 0);
    sf_bytes value = sfi_op_value(&batch.tables[is_dead ? SFI_DEAD : SFI_MAILBOX].ops[0]);
    assert_true(value.size <= RECORD_MAX);
    row->is_dead = is_dead;
    row->size = value.size;
    memcpy(row->bytes, value.data, value.size);
    sfi_message_free(&pool, message);
    sfi_pool_fini(&pool);
    sfi_batch_fini(&batch);
}

static int parse(const struct row *row, struct sfi_envelope *out)
{
    struct sfi_key key;
    return sfi_envelope_parse(row_key(&key), SF_BYTES(row->bytes, row->size), row->is_dead, out);
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
    sfi_record_finish_as(last, size, row->is_dead ? SFI_RECORD_DEAD : SFI_RECORD_MESSAGE, version,
                         0, row_key(&key));
    return sfi_envelope_parse(row_key(&key), SF_BYTES(last, size), row->is_dead, out);
}

static void is_text(sf_bytes bytes, const char *text)
{
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
}

static void is_ours(const struct sfi_envelope *envelope, int is_dead, const char *body)
{
    assert_int_equal(envelope->from_type, 3);
    assert_int_equal(envelope->to_type, 5);
    is_text(envelope->from_id, "me");
    is_text(envelope->to_id, "target");
    is_text(envelope->kind, "kind");
    is_text(envelope->body, body);
    assert_int_equal(envelope->attempts, 2);
    assert_int_equal(envelope->retry_ms, is_dead ? 0 : 123456789);
    assert_int_equal(envelope->ask, 0);
    if (is_dead)
        is_text(envelope->reason, reason);
}

static void a_message_comes_back_as_it_was_written(void **state)
{
    (void)state;
    for (int is_dead = 0; is_dead < 2; is_dead++) {
        struct row row;
        struct sfi_envelope envelope;
        write_row(&row, is_dead, sf_str("body"));
        OK(parse(&row, &envelope));
        is_ours(&envelope, is_dead, "body");
        assert_int_equal(envelope.body_absent, 0);
        write_row(&row, is_dead, SF_NONE);
        OK(parse(&row, &envelope));
        is_ours(&envelope, is_dead, "");
        assert_int_equal(envelope.body_absent, 1);
    }
}

static size_t head_size(int is_dead)
{
    size_t addresses = 5 + 2 + 5 + 6, numbers = 4 + 8 + 8 + 2;
    return SFI_RECORD_HEADER + (is_dead ? 2 + strlen(reason) : 0) + addresses + numbers;
}

static void a_message_of_version_1_has_no_parts(void **state)
{
    (void)state;
    for (int is_dead = 0; is_dead < 2; is_dead++) {
        struct row row;
        struct sfi_envelope envelope;
        size_t parts_at = head_size(is_dead);
        write_row(&row, is_dead, sf_str("body"));
        assert_int_equal(row.bytes[parts_at], 0);
        memmove(row.bytes + parts_at, row.bytes + parts_at + 1, row.size - parts_at - 1);
        OK(parse_as(&row, row.size - 1, 1, &envelope));
        is_ours(&envelope, is_dead, "body");
    }
}

static void parts_that_nobody_knows_were_written_by_a_newer_library(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 8; bit++) {
        struct row row;
        struct sfi_envelope envelope;
        write_row(&row, 0, sf_str("body"));
        row.bytes[head_size(0)] = (unsigned char)(1 << bit);
        REFUSED(parse_as(&row, row.size, 2, &envelope), SF_ENEWER);
        SAYS("parts");
    }
}

static void a_message_cut_anywhere_but_in_its_body_is_refused(void **state)
{
    (void)state;
    for (int is_dead = 0; is_dead < 2; is_dead++) {
        struct row row;
        struct sfi_envelope envelope;
        write_row(&row, is_dead, sf_str("body"));
        size_t body_at = row.size - 4;
        for (size_t size = SFI_RECORD_HEADER; size < row.size; size++)
            if (size < body_at)
                REFUSED(parse_as(&row, size, 2, &envelope), SF_ECORRUPT);
            else
                OK(parse_as(&row, size, 2, &envelope));
    }
}

/* Any size within it that claims more than there is. */
static void sizes_beyond_the_record_are_refused(void **state)
{
    (void)state;
    struct row row;
    struct sfi_envelope envelope;
    size_t from_size_at = SFI_RECORD_HEADER + 4, to_size_at = from_size_at + 1 + 2 + 4;
    size_t kind_size_at = head_size(0) - 2;
    const size_t places[] = {from_size_at, to_size_at, kind_size_at};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        write_row(&row, 0, SF_NONE);
        row.bytes[places[i]] = 0xFF;
        REFUSED(parse_as(&row, row.size, 2, &envelope), SF_ECORRUPT);
    }
    write_row(&row, 1, SF_NONE);
    row.bytes[SFI_RECORD_HEADER] = 0xFF; /* of the reason */
    REFUSED(parse_as(&row, row.size, 2, &envelope), SF_ECORRUPT);
}

static void a_message_to_nobody_is_refused(void **state)
{
    (void)state;
    struct row row;
    struct sfi_envelope envelope;
    write_row(&row, 0, sf_str("body"));
    row.bytes[SFI_RECORD_HEADER + 5 + 2] = 0; /* the target's type */
    REFUSED(parse_as(&row, row.size, 2, &envelope), SF_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_was_written),
        cmocka_unit_test(a_message_of_version_1_has_no_parts),
        cmocka_unit_test(parts_that_nobody_knows_were_written_by_a_newer_library),
        cmocka_unit_test(a_message_cut_anywhere_but_in_its_body_is_refused),
        cmocka_unit_test(sizes_beyond_the_record_are_refused),
        cmocka_unit_test(a_message_to_nobody_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
