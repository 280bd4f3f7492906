/* test_chunk.c - a chunk gives back what was put into it, and one that was damaged gives
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/endian.h"
#include "lmdb/chunk.h"
#include "store/record.h"
#include "support/machine.h"

enum { GENERATION = 0x01020304 };

static const unsigned char number[SFI_CHUNK_KEY] = {0, 0, 0, 0, 0, 0, 2, 77};

struct rig {
    struct machine machine;
    struct sfi_batch batch; /* what is put into the chunk */
    unsigned char *chunk;   /* of exactly `size` bytes, so that a sanitizer sees a read too far */
    size_t size;
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        return -1;
    machine_init(&rig->machine);
    sfi_batch_init(&rig->batch, &rig->machine.sys);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    sfi_batch_fini(&rig->batch);
    free(rig->chunk);
    free(rig);
    return 0;
}

static uint64_t draw(struct rig *rig, uint64_t below)
{
    return rig->machine.sys.random(rig->machine.sys.ctx) % below;
}

static unsigned char *exactly(size_t size)
{
    unsigned char *bytes = malloc(size ? size : 1);
    if (!bytes)
        abort();
    return bytes;
}

static unsigned char *copy_of(const void *from, size_t size)
{
    unsigned char *copy = exactly(size);
    memcpy(copy, from, size);
    return copy;
}

/* -- writing ----------------------------------------------------------------------------------- */

static const struct sfi_op_list *changes(const struct rig *rig)
{
    return &rig->batch.tables[SFI_STATE];
}

static void put(struct rig *rig, const char *key, const char *value)
{
    void *room = sfi_batch_put(&rig->batch, SFI_STATE, sf_str(key), strlen(value));
    assert_non_null(room);
    memcpy(room, value, strlen(value));
}

static void drop(struct rig *rig, const char *key)
{
    assert_int_equal(sfi_batch_delete(&rig->batch, SFI_STATE, sf_str(key)), 0);
}

static void put_random(struct rig *rig, size_t key_size, size_t value_size)
{
    unsigned char key[SFI_KEY_MAX];
    for (size_t i = 0; i < key_size; i++)
        key[i] = (unsigned char)draw(rig, 256);
    unsigned char *value =
        sfi_batch_put(&rig->batch, SFI_STATE, SF_BYTES(key, key_size), value_size);
    assert_non_null(value);
    for (size_t i = 0; i < value_size; i++)
        value[i] = (unsigned char)(key[0] + i);
}

/* All of the changes, whatever they take. */
static void write_chunk(struct rig *rig)
{
    const struct sfi_op_list *list = changes(rig);
    size_t at = SFI_CHUNK_HEADER;
    rig->size = SFI_CHUNK_HEADER;
    for (uint32_t i = 0; i < list->count; i++)
        rig->size += sfi_log_entry_size(&list->ops[i]);
    free(rig->chunk);
    rig->chunk = exactly(rig->size);
    memset(rig->chunk, 0xee, rig->size); /* what LMDB lends is not cleared */
    for (uint32_t i = 0; i < list->count; i++)
        at = sfi_chunk_put(rig->chunk, at, &list->ops[i]);
    assert_int_equal(at, rig->size);
    sfi_chunk_finish(rig->chunk, rig->size, GENERATION, list->count, number);
}

/* A few of each kind. */
static void write_small_chunk(struct rig *rig)
{
    put(rig, "a", "");
    put(rig, "key", "a value of some size");
    drop(rig, "gone");
    put(rig, "01234567", "01234567");
    write_chunk(rig);
}

/* -- reading ----------------------------------------------------------------------------------- */

static sf_bytes chunk_of(const struct rig *rig)
{
    return SF_BYTES(rig->chunk, rig->size);
}

static int open_under(sf_bytes chunk, sf_bytes key, uint32_t *out_count)
{
    uint32_t generation = 0;
    *out_count = 0;
    int rc = sfi_chunk_open(chunk, key, &generation, out_count);
    if (rc == 0)
        assert_int_equal(generation, GENERATION);
    return rc;
}

static int opens(sf_bytes chunk)
{
    uint32_t count;
    return open_under(chunk, SF_OF(number), &count);
}

/* Inside the chunk, and every byte can be read. */
static void lies_in(sf_bytes part, sf_bytes chunk)
{
    const unsigned char *at = part.data, *from = chunk.data;
    unsigned sum = 0;
    assert_true(at >= from && part.size <= chunk.size);
    assert_true((size_t)(at - from) <= chunk.size - part.size);
    for (size_t i = 0; i < part.size; i++)
        sum += at[i];
    assert_true(sum < UINT32_MAX);
}

/* An entry at an offset is refused, or is a whole one. */
static int entry_at(sf_bytes chunk, size_t at, struct sfi_log_entry *out)
{
    int rc = sfi_chunk_entry(chunk, at, out);
    if (rc < 0) {
        assert_int_equal(rc, SF_ECORRUPT);
        return rc;
    }
    assert_int_equal(rc, 0);
    assert_in_range(out->key.size, 1, SFI_KEY_MAX);
    lies_in(out->key, chunk);
    lies_in(out->value, chunk);
    assert_in_range(out->end, at + 8 + out->key.size + out->value.size, chunk.size);
    return 0;
}

/* All entries, as whoever loads the log does it.  0 or SF_ECORRUPT. */
static int walk(sf_bytes chunk, uint32_t count)
{
    struct sfi_log_entry entry = {.end = SFI_CHUNK_HEADER};
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = entry_at(chunk, entry.end, &entry);
    return rc;
}

static void is_entry(const struct sfi_log_entry *entry, const struct sfi_op *op)
{
    sf_bytes key = sfi_op_key(op), value = sfi_op_value(op);
    assert_int_equal(entry->key.size, key.size);
    assert_memory_equal(entry->key.data, key.data, key.size);
    assert_int_equal(entry->value.size, value.size);
    if (value.size)
        assert_memory_equal(entry->value.data, value.data, value.size);
    assert_int_equal(entry->is_delete, op->is_delete);
}

/* The chunk has the changes, in their order. */
static void has_all_changes(const struct rig *rig, sf_bytes chunk)
{
    const struct sfi_op_list *list = changes(rig);
    struct sfi_log_entry entry = {.end = SFI_CHUNK_HEADER};
    uint32_t count;
    assert_int_equal(open_under(chunk, SF_OF(number), &count), 0);
    assert_int_equal(count, list->count);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = entry.end;
        assert_int_equal(at % 8, 0);
        assert_int_equal(entry_at(chunk, at, &entry), 0);
        assert_int_equal(entry.end, at + sfi_log_entry_size(&list->ops[i]));
        is_entry(&entry, &list->ops[i]);
    }
    assert_int_equal(entry.end, chunk.size);
}

/* -- round trips ------------------------------------------------------------------------------- */

static void entries_come_back_as_they_were_put(void **state)
{
    struct rig *rig = *state;
    write_small_chunk(rig);
    has_all_changes(rig, chunk_of(rig));
}

static void keys_and_values_of_any_size_come_back(void **state)
{
    struct rig *rig = *state;
    for (size_t key_size = 1; key_size <= 33; key_size++)
        for (size_t value_size = 0; value_size <= 33; value_size++)
            put_random(rig, key_size, value_size);
    put_random(rig, SFI_KEY_MAX, 0);
    put_random(rig, SFI_KEY_MAX, 1000);
    write_chunk(rig);
    has_all_changes(rig, chunk_of(rig));
}

static void random_chunks_come_back(void **state)
{
    struct rig *rig = *state;
    for (int round = 0; round < 500; round++) {
        sfi_batch_reset(&rig->batch);
        for (uint64_t i = draw(rig, 40); i > 0; i--) {
            put_random(rig, 1 + draw(rig, draw(rig, 4) ? 30 : SFI_KEY_MAX), draw(rig, 200));
            if (draw(rig, 4) == 0)
                drop(rig, "deleted");
        }
        write_chunk(rig);
        has_all_changes(rig, chunk_of(rig));
    }
}

static void a_delete_is_told_from_an_empty_value(void **state)
{
    struct rig *rig = *state;
    struct sfi_log_entry entry;
    put(rig, "k", "");
    drop(rig, "k");
    write_chunk(rig);
    assert_int_equal(entry_at(chunk_of(rig), SFI_CHUNK_HEADER, &entry), 0);
    assert_false(entry.is_delete);
    assert_int_equal(entry.value.size, 0);
    assert_int_equal(entry_at(chunk_of(rig), entry.end, &entry), 0);
    assert_true(entry.is_delete);
    assert_int_equal(entry.value.size, 0);
    assert_int_equal(entry.end, rig->size);
}

static void an_entry_larger_than_a_chunk_comes_back_alone(void **state)
{
    struct rig *rig = *state;
    put_random(rig, SFI_KEY_MAX, (16 << 20) + 3);
    assert_true(sfi_log_entry_size(&changes(rig)->ops[0]) > SFI_CHUNK_BYTES);
    write_chunk(rig);
    has_all_changes(rig, chunk_of(rig));
}

static void a_full_chunk_comes_back(void **state)
{
    struct rig *rig = *state;
    size_t size = SFI_CHUNK_HEADER, taken;
    put_random(rig, 20, 1000);
    taken = sfi_log_entry_size(&changes(rig)->ops[0]);
    for (size += taken; size + taken <= SFI_CHUNK_BYTES - 64; size += taken)
        put_random(rig, 20, 1000);
    put_random(rig, 8, SFI_CHUNK_BYTES - size - 16);
    write_chunk(rig);
    assert_int_equal(rig->size, SFI_CHUNK_BYTES);
    has_all_changes(rig, chunk_of(rig));
}

/* LMDB puts a value wherever there is room. */
static void a_chunk_is_read_on_any_address(void **state)
{
    struct rig *rig = *state;
    write_small_chunk(rig);
    for (size_t shift = 0; shift < 8; shift++) {
        unsigned char *copy = exactly(rig->size + shift);
        memcpy(copy + shift, rig->chunk, rig->size);
        has_all_changes(rig, SF_BYTES(copy + shift, rig->size));
        free(copy);
    }
}

static void an_empty_chunk_has_no_entries(void **state)
{
    struct rig *rig = *state;
    struct sfi_log_entry entry;
    write_chunk(rig);
    assert_int_equal(rig->size, SFI_CHUNK_HEADER);
    has_all_changes(rig, chunk_of(rig));
    assert_int_equal(entry_at(chunk_of(rig), SFI_CHUNK_HEADER, &entry), SF_ECORRUPT);
}

/* Numbers on disk do not change. */
static void the_bytes_on_disk_are_these(void **state)
{
    struct rig *rig = *state;
    const unsigned char after_the_checksum[] = {
        1,   11,  0,   0,                                                 /* version, kind */
        4,   3,   2,   1,   2,   0,   0,   0,                             /* generation, entries */
        5,   0,   0,   0,   3,   0,   0,   0,                             /* value, key, put */
        'k', 'e', 'y', 'v', 'a', 'l', 'u', 'e',                           /* no room to fill */
        0,   0,   0,   0,   1,   0,   1,   0,   'd', 0, 0, 0, 0, 0, 0, 0, /* a delete */
    };
    put(rig, "key", "value");
    drop(rig, "d");
    write_chunk(rig);
    assert_int_equal(rig->size, 4 + sizeof after_the_checksum);
    assert_memory_equal(rig->chunk + 4, after_the_checksum, sizeof after_the_checksum);
}

/* -- damage ------------------------------------------------------------------------------------ */

static int is_refused(int rc)
{
    return rc == SF_ECORRUPT || rc == SF_ENEWER;
}

static void any_bit_that_flips_is_noticed(void **state)
{
    struct rig *rig = *state;
    write_small_chunk(rig);
    for (size_t bit = 0; bit < rig->size * 8; bit++) {
        rig->chunk[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (!is_refused(opens(chunk_of(rig))))
            fail_msg("bit %zu may flip", bit);
        rig->chunk[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_int_equal(opens(chunk_of(rig)), 0);
}

static void any_two_bytes_that_change_places_are_noticed(void **state)
{
    struct rig *rig = *state;
    write_small_chunk(rig);
    for (size_t at = 0; at + 1 < rig->size; at++) {
        unsigned char *two = rig->chunk + at, first = two[0];
        if (two[0] == two[1])
            continue;
        two[0] = two[1];
        two[1] = first;
        assert_true(is_refused(opens(chunk_of(rig))));
        two[1] = two[0];
        two[0] = first;
    }
    assert_int_equal(opens(chunk_of(rig)), 0);
}

static void a_bit_that_flips_in_a_large_chunk_is_noticed(void **state)
{
    struct rig *rig = *state;
    put_random(rig, 100, 1 << 20);
    write_chunk(rig);
    for (int round = 0; round < 200; round++) {
        size_t bit = draw(rig, rig->size * 8);
        rig->chunk[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true(is_refused(opens(chunk_of(rig))));
        rig->chunk[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_int_equal(opens(chunk_of(rig)), 0);
}

static void a_chunk_cut_short_anywhere_is_refused(void **state)
{
    struct rig *rig = *state;
    write_small_chunk(rig);
    for (size_t size = 0; size < rig->size; size++) {
        unsigned char *copy = copy_of(rig->chunk, size);
        assert_int_equal(opens(SF_BYTES(copy, size)), SF_ECORRUPT);
        free(copy);
    }
}

static void a_chunk_with_something_after_it_is_refused(void **state)
{
    struct rig *rig = *state;
    write_small_chunk(rig);
    for (size_t more = 1; more <= 64; more++) {
        unsigned char *copy = exactly(rig->size + more);
        memcpy(copy, rig->chunk, rig->size);
        memset(copy + rig->size, 0, more);
        assert_int_equal(opens(SF_BYTES(copy, rig->size + more)), SF_ECORRUPT);
        free(copy);
    }
}

static void a_chunk_under_another_key_is_refused(void **state)
{
    struct rig *rig = *state;
    unsigned char key[SFI_CHUNK_KEY + 1] = {0};
    uint32_t count;
    write_small_chunk(rig);
    for (size_t bit = 0; bit < sizeof number * 8; bit++) {
        memcpy(key, number, sizeof number);
        key[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_equal(open_under(chunk_of(rig), SF_BYTES(key, sizeof number), &count),
                         SF_ECORRUPT);
    }
    memcpy(key, number, sizeof number);
    for (size_t size = 0; size <= sizeof key; size++)
        if (size != sizeof number)
            assert_int_equal(open_under(chunk_of(rig), SF_BYTES(key, size), &count), SF_ECORRUPT);
}

static void a_record_of_another_kind_is_refused(void **state)
{
    struct rig *rig = *state;
    write_small_chunk(rig);
    for (int kind = 0; kind < 256; kind++) {
        sfi_record_finish_as(rig->chunk, rig->size, (enum sfi_record_kind)kind, 1, 0,
                             SF_OF(number));
        int is_known = kind == 0 || sfi_record_newest((enum sfi_record_kind)kind);
        assert_int_equal(opens(chunk_of(rig)), kind == SFI_RECORD_LOG ? 0
                                               : is_known             ? SF_ECORRUPT
                                                                      : SF_ENEWER);
    }
}

/* Whole, as record.h has it, and yet no chunk. */
static void a_record_too_short_for_a_chunk_is_refused(void **state)
{
    (void)state;
    for (size_t size = SFI_RECORD_HEADER; size < SFI_CHUNK_HEADER; size++) {
        unsigned char *record = exactly(size);
        memset(record, 0, size);
        sfi_record_finish(record, size, SFI_RECORD_LOG, SF_OF(number));
        assert_int_equal(opens(SF_BYTES(record, size)), SF_ECORRUPT);
        free(record);
    }
}

static void a_record_under_a_key_of_another_size_is_refused(void **state)
{
    struct rig *rig = *state;
    const unsigned char key[12] = {0};
    uint32_t count;
    write_small_chunk(rig);
    for (size_t size = 0; size <= sizeof key; size++) {
        sfi_record_finish(rig->chunk, rig->size, SFI_RECORD_LOG, SF_BYTES(key, size));
        assert_int_equal(open_under(chunk_of(rig), SF_BYTES(key, size), &count),
                         size == SFI_CHUNK_KEY ? 0 : SF_ECORRUPT);
    }
}

/* As a newer library would write it: the checksum holds, see record.h. */
static void a_chunk_of_a_newer_format_says_so(void **state)
{
    struct rig *rig = *state;
    write_small_chunk(rig);
    for (int version = 0; version < 256; version++) {
        rig->chunk[4] = (unsigned char)version;
        uint64_t sum =
            XXH3_64bits_withSeed(rig->chunk + 4, rig->size - 4, XXH3_64bits(number, sizeof number));
        sfi_le32_put(rig->chunk, (uint32_t)sum);
        assert_int_equal(opens(chunk_of(rig)), version == 1  ? 0
                                               : version > 1 ? SF_ENEWER
                                                             : SF_ECORRUPT);
    }
}

/* -- entries that are none --------------------------------------------------------------------- */

static void an_entry_at_any_offset_lies_in_the_chunk_or_is_refused(void **state)
{
    struct rig *rig = *state;
    struct sfi_log_entry entry;
    write_small_chunk(rig);
    for (size_t at = 0; at < rig->size + 100; at++) {
        int rc = entry_at(chunk_of(rig), at, &entry);
        if (at + 8 > rig->size)
            assert_int_equal(rc, SF_ECORRUPT);
    }
    assert_int_equal(entry_at(chunk_of(rig), UINT32_MAX, &entry), SF_ECORRUPT);
    assert_int_equal(entry_at(SF_BYTES(rig->chunk, 0), 0, &entry), SF_ECORRUPT);
}

/* One entry with those sizes, in 64 bytes. */
static int entry_of_sizes(uint32_t value_size, uint16_t key_size)
{
    enum { SIZE = SFI_CHUNK_HEADER + 64 };
    unsigned char *chunk = exactly(SIZE);
    struct sfi_log_entry entry;
    memset(chunk, 0, SIZE);
    sfi_le32_put(chunk + SFI_CHUNK_HEADER, value_size);
    sfi_le16_put(chunk + SFI_CHUNK_HEADER + 4, key_size);
    int rc = entry_at(SF_BYTES(chunk, SIZE), SFI_CHUNK_HEADER, &entry);
    free(chunk);
    return rc;
}

static void sizes_that_reach_past_the_chunk_are_refused(void **state)
{
    (void)state;
    for (uint32_t key_size = 1; key_size <= 56; key_size++)
        for (uint32_t value_size = 0; value_size <= 100; value_size++)
            assert_int_equal(entry_of_sizes(value_size, (uint16_t)key_size),
                             key_size + value_size <= 56 ? 0 : SF_ECORRUPT);
    for (uint32_t below = 0; below < 600; below++)
        assert_int_equal(entry_of_sizes(UINT32_MAX - below, 1), SF_ECORRUPT);
}

static void keys_of_sizes_that_no_key_has_are_refused(void **state)
{
    enum { SIZE = SFI_CHUNK_BYTES + (1 << 17) };
    unsigned char *chunk = exactly(SIZE);
    struct sfi_log_entry entry;
    (void)state;
    memset(chunk, 0, SIZE);
    for (uint32_t size = 0; size <= UINT16_MAX; size++) {
        sfi_le16_put(chunk + SFI_CHUNK_HEADER + 4, (uint16_t)size);
        assert_int_equal(sfi_chunk_entry(SF_BYTES(chunk, SIZE), SFI_CHUNK_HEADER, &entry),
                         size >= 1 && size <= SFI_KEY_MAX ? 0 : SF_ECORRUPT);
    }
    free(chunk);
}

static void a_chunk_that_lacks_entries_is_noticed_at_its_end(void **state)
{
    struct rig *rig = *state;
    uint32_t count, most;
    write_small_chunk(rig);
    most = (uint32_t)(rig->size - SFI_CHUNK_HEADER) / 16;
    sfi_chunk_finish(rig->chunk, rig->size, GENERATION, UINT32_MAX, number);
    assert_int_equal(open_under(chunk_of(rig), SF_OF(number), &count), SF_ECORRUPT);
    sfi_chunk_finish(rig->chunk, rig->size, GENERATION, most + 1, number);
    assert_int_equal(open_under(chunk_of(rig), SF_OF(number), &count), SF_ECORRUPT);
    sfi_chunk_finish(rig->chunk, rig->size, GENERATION, most, number);
    assert_int_equal(open_under(chunk_of(rig), SF_OF(number), &count), 0);
    assert_int_equal(count, most);
    assert_int_equal(walk(chunk_of(rig), count), SF_ECORRUPT);
}

/* Written by somebody who knows the checksum. */
static void no_nonsense_leads_out_of_the_chunk(void **state)
{
    struct rig *rig = *state;
    uint32_t count;
    write_small_chunk(rig);
    unsigned char *whole = copy_of(rig->chunk, rig->size);
    for (int round = 0; round < 20000; round++) {
        memcpy(rig->chunk, whole, rig->size);
        for (uint64_t i = 1 + draw(rig, 8); i > 0; i--) {
            size_t at = SFI_RECORD_HEADER + draw(rig, rig->size - SFI_RECORD_HEADER);
            rig->chunk[at] = (unsigned char)(draw(rig, 2) ? draw(rig, 256) : draw(rig, 40));
        }
        sfi_chunk_finish(rig->chunk, rig->size, GENERATION, 1 + (uint32_t)draw(rig, 50), number);
        if (open_under(chunk_of(rig), SF_OF(number), &count) == 0)
            walk(chunk_of(rig), count);
    }
    free(whole);
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(entries_come_back_as_they_were_put),
        HERE(keys_and_values_of_any_size_come_back),
        HERE(random_chunks_come_back),
        HERE(a_delete_is_told_from_an_empty_value),
        HERE(an_entry_larger_than_a_chunk_comes_back_alone),
        HERE(a_full_chunk_comes_back),
        HERE(a_chunk_is_read_on_any_address),
        HERE(an_empty_chunk_has_no_entries),
        HERE(the_bytes_on_disk_are_these),
        HERE(any_bit_that_flips_is_noticed),
        HERE(any_two_bytes_that_change_places_are_noticed),
        HERE(a_bit_that_flips_in_a_large_chunk_is_noticed),
        HERE(a_chunk_cut_short_anywhere_is_refused),
        HERE(a_chunk_with_something_after_it_is_refused),
        HERE(a_chunk_under_another_key_is_refused),
        HERE(a_record_of_another_kind_is_refused),
        HERE(a_record_too_short_for_a_chunk_is_refused),
        HERE(a_record_under_a_key_of_another_size_is_refused),
        HERE(a_chunk_of_a_newer_format_says_so),
        HERE(an_entry_at_any_offset_lies_in_the_chunk_or_is_refused),
        HERE(sizes_that_reach_past_the_chunk_are_refused),
        HERE(keys_of_sizes_that_no_key_has_are_refused),
        HERE(a_chunk_that_lacks_entries_is_noticed_at_its_end),
        HERE(no_nonsense_leads_out_of_the_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
