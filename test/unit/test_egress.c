/* test_egress.c - lib/actor/egress: names, lists, bounds, what is trimmed, and what a row may
 * say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/egress.h"
#include "actor/key.h"
#include "store/record.h"
#include "support/machine.h"

struct rig {
    struct machine machine;
    struct sfi_egresses egresses;
    struct sfi_batch batch;
    struct sfi_types types;
    struct sfi_type *type;
    struct sfi_actor *actor;
    struct sfi_arena arena;
};

static int take(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records, (void)userdata;
    return (int)count;
}

static int nothing(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static const sf_type emitter = SF_TYPE("test/emitter", .handler = nothing);

static void rig_open(struct rig *rig, uint64_t records_max, uint64_t bytes_max)
{
    memset(rig, 0, sizeof *rig);
    machine_init(&rig->machine);
    sfi_egresses_init(&rig->egresses, &rig->machine.sys, records_max, bytes_max);
    sfi_batch_init(&rig->batch, &rig->machine.sys);
    sfi_types_init(&rig->types, &rig->machine.sys);
    sfi_arena_init(&rig->arena, &rig->machine.sys);
    assert_int_equal(sfi_types_register(&rig->types, &emitter, NULL, &rig->type), 0);
    rig->actor = calloc(1, sizeof *rig->actor + 8);
    assert_non_null(rig->actor);
    rig->actor->type = rig->type;
    rig->actor->id_size = 1;
    rig->actor->id[0] = 'e';
}

static void rig_close(struct rig *rig)
{
    free(rig->actor);
    sfi_egresses_fini(&rig->egresses);
    sfi_batch_fini(&rig->batch);
    sfi_types_fini(&rig->types);
    sfi_arena_fini(&rig->arena);
    assert_int_equal(rig->machine.live, 0);
}

static struct sfi_egress *add(struct rig *rig, const char *name)
{
    assert_int_equal(sfi_egresses_register(&rig->egresses, name, take, NULL), 0);
    return sfi_egresses_find(&rig->egresses, name);
}

static void emit(struct rig *rig, struct sfi_egress *egress, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(
            sfi_egress_put(egress, &rig->batch, rig->actor, "k", 1, SF_BYTES("body", 4)), 0);
    sfi_egress_keep(&rig->egresses, egress);
}

/* An epoch comes and goes; how many rows were deleted. */
static uint64_t commit(struct rig *rig)
{
    uint64_t before = rig->egresses.untrimmed;
    assert_int_equal(sfi_egresses_save(&rig->egresses, &rig->batch), 0);
    sfi_egresses_saved(&rig->egresses);
    sfi_batch_reset(&rig->batch);
    sfi_egresses_durable(&rig->egresses);
    sfi_egresses_safe(&rig->egresses);
    return before - rig->egresses.untrimmed;
}

/* -- names ------------------------------------------------------------------------------------- */

static void an_egress_is_found_by_its_name_whatever_holds_it(void **state)
{
    struct rig rig;
    char buffer[16];
    (void)state;
    rig_open(&rig, 10, 1000);
    for (int i = 0; i < 1000; i++) {
        snprintf(buffer, sizeof buffer, "egress %d", i);
        struct sfi_egress *egress = add(&rig, buffer);
        assert_int_equal(egress->number, i + 1);
        assert_string_equal(egress->name, buffer);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(buffer, sizeof buffer, "egress %d", i);
        assert_int_equal(sfi_egresses_find(&rig.egresses, buffer)->number, i + 1);
        assert_ptr_equal(add(&rig, buffer), sfi_egresses_find(&rig.egresses, buffer));
    }
    assert_null(sfi_egresses_find(&rig.egresses, "egress"));
    assert_null(sfi_egresses_find(&rig.egresses, "egress 1000"));
    assert_int_equal(rig.egresses.count, 1000);
    rig_close(&rig);
    (void)state;
}

static void there_are_no_more_of_them_than_the_header_says(void **state)
{
    struct rig rig;
    char name[16];
    (void)state;
    rig_open(&rig, 10, 1000);
    for (int i = 0; i < SF_EGRESSES_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(sfi_egresses_register(&rig.egresses, name, take, NULL), 0);
    }
    assert_int_equal(sfi_egresses_register(&rig.egresses, "more", take, NULL), SF_EINVAL);
    assert_non_null(strstr(sf_errmsg(), "65536"));
    assert_int_equal(sfi_egresses_register(&rig.egresses, "7", take, NULL), 0); /* again */
    rig_close(&rig);
}

static void without_memory_none_is_registered_and_all_others_are_found(void **state)
{
    (void)state;
    for (uint64_t fail = 1;; fail++) {
        struct rig rig;
        char name[16];
        rig_open(&rig, 10, 1000);
        for (int i = 0; i < 12; i++) {
            snprintf(name, sizeof name, "%d", i);
            add(&rig, name);
        }
        uint64_t before = rig.machine.allocations;
        rig.machine.fail_allocation = before + fail;
        int rc = sfi_egresses_register(&rig.egresses, "new", take, NULL);
        int none_failed = rig.machine.allocations < before + fail;
        rig.machine.fail_allocation = 0;
        assert_int_equal(rc, none_failed ? 0 : SF_ENOMEM);
        assert_int_equal(sfi_egresses_find(&rig.egresses, "new") != NULL, none_failed);
        assert_int_equal(add(&rig, "new")->number, 13);
        assert_int_equal(sfi_egresses_find(&rig.egresses, "3")->number, 4);
        rig_close(&rig);
        if (none_failed)
            return;
    }
}

/* -- bounds ------------------------------------------------------------------------------------ */

static void it_is_full_by_records_or_by_bytes_and_not_before(void **state)
{
    struct rig rig;
    (void)state;
    for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
        rig_open(&rig, by_bytes ? UINT64_MAX : 3, by_bytes ? 3 * 68 : UINT64_MAX);
        struct sfi_egress *egress = add(&rig, "out"), *other = add(&rig, "other");
        for (int i = 0; i < 3; i++) {
            assert_int_equal(sfi_egress_check(&rig.egresses, egress), 0);
            emit(&rig, egress, 1);
        }
        assert_int_equal(sfi_egress_check(&rig.egresses, egress), SF_EAGAIN);
        assert_non_null(strstr(sf_errmsg(), "'out' is full: 3 records, 204 bytes"));
        assert_int_equal(sfi_egress_check(&rig.egresses, other), 0);
        commit(&rig);
        sfi_egress_acknowledge(&rig.egresses, egress, 1, 68);
        assert_int_equal(sfi_egress_check(&rig.egresses, egress), 0);
        assert_int_equal(rig.egresses.lag, 2);
        sfi_egress_acknowledge(&rig.egresses, egress, 3, 0);
        assert_int_equal(egress->acked_bytes, 204); /* all of it, whatever the rows say */
        rig_close(&rig);
    }
}

/* Else a turn that emits more than the bound could never be kept. */
static void what_one_turn_emits_itself_does_not_stop_it(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, 3, UINT64_MAX);
    struct sfi_egress *egress = add(&rig, "out");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(sfi_egress_check(&rig.egresses, egress), 0);
        assert_int_equal(sfi_egress_put(egress, &rig.batch, rig.actor, "", 0, SF_NONE), 0);
    }
    sfi_egress_keep(&rig.egresses, egress);
    assert_int_equal(sfi_egress_check(&rig.egresses, egress), SF_EAGAIN);
    rig_close(&rig);
}

static void how_long_nothing_was_acknowledged_is_told_of_the_one_that_waits_longest(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, 100, UINT64_MAX);
    struct sfi_egress *a = add(&rig, "a"), *b = add(&rig, "b");
    assert_int_equal(sfi_egresses_stalled_ns(&rig.egresses), 0);
    emit(&rig, a, 2);
    machine_advance_ms(&rig.machine, 30);
    emit(&rig, b, 2);
    emit(&rig, a, 1);
    machine_advance_ms(&rig.machine, 5);
    commit(&rig);
    assert_int_equal(sfi_egresses_stalled_ns(&rig.egresses), 35000000);
    sfi_egress_acknowledge(&rig.egresses, a, 1, 0);
    assert_int_equal(sfi_egresses_stalled_ns(&rig.egresses), 5000000); /* b's now */
    sfi_egress_acknowledge(&rig.egresses, b, 2, 0);
    machine_advance_ms(&rig.machine, 7);
    assert_int_equal(sfi_egresses_stalled_ns(&rig.egresses), 7000000);
    sfi_egress_acknowledge(&rig.egresses, a, 3, 0);
    assert_int_equal(sfi_egresses_stalled_ns(&rig.egresses), 0);
    rig_close(&rig);
}

static void who_waits_for_room_tries_again_later_the_longer_it_lasts(void **state)
{
    static const uint64_t after_ms[][2] = {
        {0, 20}, {60, 20}, {400, 100}, {4000, 1000}, {90000, 2000}};
    (void)state;
    for (size_t i = 0; i < sizeof after_ms / sizeof *after_ms; i++) {
        struct rig rig;
        rig_open(&rig, 1, UINT64_MAX);
        struct sfi_egress *egress = add(&rig, "out");
        emit(&rig, egress, 1);
        machine_advance_ms(&rig.machine, after_ms[i][0]);
        assert_int_equal(sfi_egress_retry_ms(&rig.egresses, egress), after_ms[i][1]);
        rig_close(&rig);
    }
}

/* However many wait, their tries take a few turns of each millisecond. */
static void those_who_wait_for_room_try_one_after_another(void **state)
{
    struct rig rig;
    uint64_t last = 0;
    (void)state;
    rig_open(&rig, 1, UINT64_MAX);
    struct sfi_egress *egress = add(&rig, "out"), *other = add(&rig, "other");
    for (int i = 0; i < 4001; i++)
        last = sfi_egress_retry_ms(&rig.egresses, egress);
    assert_int_equal(last, 1020);
    assert_int_equal(sfi_egress_retry_ms(&rig.egresses, other), 20);
    machine_advance_ms(&rig.machine, 2000);
    assert_int_equal(sfi_egress_retry_ms(&rig.egresses, egress), 20);
    rig_close(&rig);
}

/* -- what is deleted --------------------------------------------------------------------------- */

static void an_epoch_deletes_at_least_as_many_rows_as_it_adds(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, UINT64_MAX, UINT64_MAX);
    struct sfi_egress *egress = add(&rig, "out");
    emit(&rig, egress, 150000);
    commit(&rig);
    sfi_egress_acknowledge(&rig.egresses, egress, 150000, 0);
    for (int epoch = 0; rig.egresses.untrimmed > 30000; epoch++) {
        assert_in_range(epoch, 0, 15); /* it shrinks though as much comes in */
        emit(&rig, egress, 20000);
        assert_in_range(commit(&rig), 20000, 65536);
        sfi_egress_acknowledge(&rig.egresses, egress, egress->safe, 0);
    }
    emit(&rig, egress, 65536);
    commit(&rig);
    sfi_egress_acknowledge(&rig.egresses, egress, egress->safe, 0);
    emit(&rig, egress, 65536);
    assert_int_equal(commit(&rig), 65536);
    rig_close(&rig);
}

static void rows_go_in_order_and_once_and_every_egress_gets_its_share(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, UINT64_MAX, UINT64_MAX);
    struct sfi_egress *a = add(&rig, "a"), *b = add(&rig, "b");
    emit(&rig, a, 5000);
    emit(&rig, b, 5000);
    commit(&rig);
    sfi_egress_acknowledge(&rig.egresses, a, 5000, 0);
    sfi_egress_acknowledge(&rig.egresses, b, 5000, 0);
    commit(&rig);
    assert_int_equal(a->trimmed, 1250);
    commit(&rig);
    assert_int_equal(b->trimmed, 1093);
    while (sfi_egresses_dirty(&rig.egresses))
        assert_true(commit(&rig) > 0);
    assert_int_equal(a->trimmed, 5000);
    assert_int_equal(b->trimmed, 5000);
    assert_int_equal(rig.egresses.untrimmed, 0);
    rig_close(&rig);
}

/* Nothing is marked as deleted before the batch is whole. */
static void a_seal_without_memory_is_repeated_whole(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, UINT64_MAX, UINT64_MAX);
    struct sfi_egress *egress = add(&rig, "out");
    emit(&rig, egress, 100);
    commit(&rig);
    sfi_egress_acknowledge(&rig.egresses, egress, 100, 0);
    emit(&rig, egress, 7);
    sfi_batch_fini(&rig.batch);
    sfi_batch_init(&rig.batch, &rig.machine.sys);
    rig.machine.fail_allocation = rig.machine.allocations + 1;
    assert_int_equal(sfi_egresses_save(&rig.egresses, &rig.batch), SF_ENOMEM);
    assert_int_equal(egress->trimmed, 0);
    assert_true(sfi_egresses_dirty(&rig.egresses));
    assert_int_equal(commit(&rig), 100);
    assert_int_equal(egress->safe, 107);
    rig_close(&rig);
}

/* -- rows -------------------------------------------------------------------------------------- */

struct record {
    struct sfi_key key;
    unsigned char bytes[512];
    size_t size;
};

/* The row that was put last. */
static void last_row(struct rig *rig, enum sfi_table table, struct record *out)
{
    const struct sfi_op_list *list = &rig->batch.tables[table];
    const struct sfi_op *op = &list->ops[list->count - 1];
    sf_bytes value = sfi_op_value(op);
    assert_in_range(value.size, 1, sizeof out->bytes);
    memcpy(out->key.bytes, op->key, op->key_size);
    out->key.size = op->key_size;
    memcpy(out->bytes, value.data, value.size);
    out->size = value.size;
}

static int read_row(struct rig *rig, const struct sfi_egress *egress, struct record *record,
                    sf_message *out)
{
    uint64_t written;
    unsigned char *exact = malloc(record->size); /* so that a read past its end is seen */
    assert_non_null(exact);
    memcpy(exact, record->bytes, record->size);
    int rc = sfi_egress_read(egress, sfi_key_bytes(&record->key), SF_BYTES(exact, record->size),
                             &rig->types, &rig->arena, out, &written);
    free(exact);
    return rc;
}

static void a_row_says_all_of_a_record(void **state)
{
    struct rig rig;
    struct record row;
    sf_message read;
    const sf_bytes bodies[] = {SF_NONE, SF_BYTES("", 0), SF_BYTES("x\0y", 3)};
    (void)state;
    rig_open(&rig, 10, 1000);
    struct sfi_egress *egress = add(&rig, "out");
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(sfi_egress_put(egress, &rig.batch, rig.actor, "kind", 4, bodies[i]), 0);
        last_row(&rig, SFI_OUTBOX, &row);
        assert_int_equal(read_row(&rig, egress, &row, &read), 0);
        assert_int_equal(read.body.data != NULL, bodies[i].data != NULL);
        assert_int_equal(read.body.size, bodies[i].size);
        assert_string_equal(read.kind, "kind");
        assert_string_equal(read.from.type, "test/emitter");
        assert_string_equal(read.from.id.data, "e");
        assert_int_equal(read.sequence, i + 1);
        assert_int_equal(
            sfi_egress_written(egress, sfi_key_bytes(&row.key), SF_BYTES(row.bytes, row.size)),
            (i + 1) * 64 + bodies[i].size);
    }
    rig_close(&rig);
}

static void a_row_cut_short_or_with_sizes_that_do_not_fit_is_damage(void **state)
{
    struct rig rig;
    struct record row, cut;
    sf_message read;
    (void)state;
    rig_open(&rig, 10, 1000);
    struct sfi_egress *egress = add(&rig, "out");
    assert_int_equal(sfi_egress_put(egress, &rig.batch, rig.actor, "kind", 4, SF_NONE), 0);
    last_row(&rig, SFI_OUTBOX, &row);
    for (unsigned version = 1; version <= 2; version++)
        for (size_t size = SFI_RECORD_HEADER; size < row.size; size++) {
            cut = row;
            cut.size = size;
            sfi_record_finish_as(cut.bytes, size, SFI_RECORD_OUTBOX, version, 0,
                                 sfi_key_bytes(&cut.key));
            if (version == 2 || size < SFI_RECORD_HEADER + 8 + 4)
                assert_int_equal(read_row(&rig, egress, &cut, &read), SF_ECORRUPT);
            else
                assert_int_equal(read_row(&rig, egress, &cut, &read), 0);
        }
    for (size_t at = 0; at < 9; at++) { /* of: type, size of the id, id, size of the kind, absent */
        static const int harmless[9] = {[5] = 1};
        cut = row;
        cut.bytes[SFI_RECORD_HEADER + at] ^= 0xf8;
        sfi_record_finish(cut.bytes, cut.size, SFI_RECORD_OUTBOX, sfi_key_bytes(&cut.key));
        assert_int_equal(read_row(&rig, egress, &cut, &read), harmless[at] ? 0 : SF_ECORRUPT);
    }
    row.bytes[SFI_RECORD_HEADER + 20]++; /* the checksum is not made anew */
    assert_int_equal(read_row(&rig, egress, &row, &read), SF_ECORRUPT);
    rig_close(&rig);
}

static void a_row_of_format_2_is_read_and_counts_no_bytes(void **state)
{
    static const unsigned char payload[] = "\1\0\0\0\1e\4\0kindbody";
    struct rig rig;
    struct record row = {.size = SFI_RECORD_HEADER + sizeof payload - 1};
    sf_message read;
    (void)state;
    rig_open(&rig, 10, 1000);
    struct sfi_egress *egress = add(&rig, "out");
    sfi_key_outbox(&row.key, 1, 7);
    memcpy(row.bytes + SFI_RECORD_HEADER, payload, sizeof payload - 1);
    sfi_record_finish_as(row.bytes, row.size, SFI_RECORD_OUTBOX, 1, 0, sfi_key_bytes(&row.key));
    assert_int_equal(read_row(&rig, egress, &row, &read), 0);
    assert_string_equal(read.kind, "kind");
    assert_int_equal(read.body.size, 4);
    assert_string_equal(read.body.data, "body");
    assert_int_equal(read.sequence, 7);
    assert_int_equal(
        sfi_egress_written(egress, sfi_key_bytes(&row.key), SF_BYTES(row.bytes, row.size)), 0);
    rig_close(&rig);
}

/* -- counters ---------------------------------------------------------------------------------- */

struct counters {
    uint32_t number;
    uint64_t next, acked, trimmed, bytes, acked_bytes;
    int rc;
};

static int load(struct rig *rig, const char *name, struct counters c, unsigned version, size_t size)
{
    struct record record = {.size = SFI_RECORD_HEADER + size};
    unsigned char *at = record.bytes + SFI_RECORD_HEADER;
    sfi_key_meta(&record.key, SFI_META_EGRESS, name);
    sfi_le32_put(at, c.number);
    sfi_le64_put(at + 4, c.next);
    sfi_le64_put(at + 12, c.acked);
    sfi_le64_put(at + 20, c.trimmed);
    sfi_le64_put(at + 28, c.bytes);
    sfi_le64_put(at + 36, c.acked_bytes);
    sfi_record_finish_as(record.bytes, record.size, SFI_RECORD_EGRESS, version, 0,
                         sfi_key_bytes(&record.key));
    return sfi_egress_load(&rig->egresses, sfi_key_bytes(&record.key),
                           SF_BYTES(record.bytes, record.size));
}

static void counters_that_contradict_each_other_are_damage(void **state)
{
    static const struct counters tries[] = {
        {2, 10, 9, 9, 100, 100, 0},
        {2, 1, 0, 0, 0, 0, 0},
        {2, 10, 10, 5, 0, 0, SF_ECORRUPT}, /* acknowledged beyond the last */
        {2, 10, 5, 6, 0, 0, SF_ECORRUPT},  /* deleted beyond the acknowledged */
        {2, 0, 0, 0, 0, 0, SF_ECORRUPT},   /* before the first */
        {2, 10, UINT64_MAX, 5, 0, 0, SF_ECORRUPT},
        {2, 10, 5, UINT64_MAX, 0, 0, SF_ECORRUPT},
        /* more bytes acknowledged than emitted */
        {2, 10, 5, 5, 100, 101, SF_ECORRUPT},
        {0, 10, 5, 5, 0, 0, SF_ECORRUPT}, /* no number */
        {1, 10, 5, 5, 0, 0, SF_ECORRUPT}, /* another's */
        {UINT32_MAX, 10, 5, 5, 0, 0, SF_ECORRUPT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct rig rig;
        rig_open(&rig, 10, 1000);
        add(&rig, "first");
        assert_int_equal(load(&rig, "out", tries[i], 2, 44), tries[i].rc);
        assert_int_equal(sfi_egresses_find(&rig.egresses, "out") != NULL, tries[i].rc == 0);
        rig_close(&rig);
    }
}

static void counters_have_the_size_of_their_version(void **state)
{
    (void)state;
    for (unsigned version = 1; version <= 2; version++)
        for (size_t size = 0; size < 60; size++) {
            struct rig rig;
            struct counters counters = {1, 10, 5, 4, 100, 50, 0};
            rig_open(&rig, 10, 1000);
            int is_right = size == (version == 1 ? 28 : 44);
            assert_int_equal(load(&rig, "out", counters, version, size),
                             is_right ? 0 : SF_ECORRUPT);
            if (is_right) {
                struct sfi_egress *egress = sfi_egresses_find(&rig.egresses, "out");
                assert_int_equal(egress->delivered, 5);
                assert_int_equal(egress->safe, 9);
                assert_int_equal(egress->bytes, version == 1 ? 0 : 100);
                assert_int_equal(rig.egresses.lag, 4);
                assert_int_equal(commit(&rig), 1); /* what was acknowledged and not deleted */
                assert_int_equal(add(&rig, "new")->number, 2);
            }
            rig_close(&rig);
        }
}

static void a_kind_longer_than_any_can_be_is_damage(void **state)
{
    struct rig rig;
    struct record row;
    sf_message read;
    char kind[SF_KIND_MAX + 2];
    (void)state;
    rig_open(&rig, 10, 1000);
    memset(kind, 'k', sizeof kind);
    struct sfi_egress *egress = add(&rig, "out");
    for (size_t size = SF_KIND_MAX; size <= SF_KIND_MAX + 1; size++) {
        assert_int_equal(sfi_egress_put(egress, &rig.batch, rig.actor, kind, size, SF_NONE), 0);
        last_row(&rig, SFI_OUTBOX, &row);
        assert_int_equal(read_row(&rig, egress, &row, &read), size > SF_KIND_MAX ? SF_ECORRUPT : 0);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_egress_is_found_by_its_name_whatever_holds_it),
        cmocka_unit_test(there_are_no_more_of_them_than_the_header_says),
        cmocka_unit_test(without_memory_none_is_registered_and_all_others_are_found),
        cmocka_unit_test(it_is_full_by_records_or_by_bytes_and_not_before),
        cmocka_unit_test(what_one_turn_emits_itself_does_not_stop_it),
        cmocka_unit_test(how_long_nothing_was_acknowledged_is_told_of_the_one_that_waits_longest),
        cmocka_unit_test(who_waits_for_room_tries_again_later_the_longer_it_lasts),
        cmocka_unit_test(those_who_wait_for_room_try_one_after_another),
        cmocka_unit_test(an_epoch_deletes_at_least_as_many_rows_as_it_adds),
        cmocka_unit_test(rows_go_in_order_and_once_and_every_egress_gets_its_share),
        cmocka_unit_test(a_seal_without_memory_is_repeated_whole),
        cmocka_unit_test(a_row_says_all_of_a_record),
        cmocka_unit_test(a_row_cut_short_or_with_sizes_that_do_not_fit_is_damage),
        cmocka_unit_test(a_row_of_format_2_is_read_and_counts_no_bytes),
        cmocka_unit_test(counters_that_contradict_each_other_are_damage),
        cmocka_unit_test(counters_have_the_size_of_their_version),
        cmocka_unit_test(a_kind_longer_than_any_can_be_is_damage),
    };
    return cmocka_run_group_tests_name("egress", tests, NULL, NULL);
}
