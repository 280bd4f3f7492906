/* test_type_record.c - a type's record comes back whole, or is refused: nothing in it is believed
 * unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "actor/key.h"
#include "actor/type_record.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"

struct fixture {
    struct machine machine;
    struct sfi_types types;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    sfi_types_init(&f.types, &f.machine.sys);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sfi_types_fini(&f->types);
    return f->machine.live == 0 ? 0 : -1;
}

static struct sfi_key key_of(const char *name)
{
    struct sfi_key key;
    sfi_key_meta(&key, SFI_META_TYPE, name);
    return key;
}

/* Loads a payload, with a header and a checksum that fit, from memory that ends where it ends. */
static int load(struct fixture *f, struct sfi_key key, const void *payload, size_t size)
{
    unsigned char *record = malloc(SFI_RECORD_HEADER + size);
    memcpy(record + SFI_RECORD_HEADER, payload, size);
    sfi_record_finish(record, SFI_RECORD_HEADER + size, SFI_RECORD_TYPE, sfi_key_bytes(&key));
    int rc = sfi_type_load(&f->types, sfi_key_bytes(&key),
                           SF_BYTES(record, SFI_RECORD_HEADER + size));
    free(record);
    return rc;
}

/* -- what was saved
 * ------------------------------------------------------------------------------------- */

static const sf_value value_a = SF_VALUE("a"), value_b = SF_VALUE("a longer name");

static int handle(sf_turn *turn)
{
    (void)turn;
    return 0;
}

/* The payload of a type with two values, as saving writes it. */
static size_t saved_payload(unsigned char *out)
{
    static const sf_map map_c = SF_MAP("c", .struct_size = 8, .struct_fields = "uint64_t n;");
    static const sf_type desc =
        SF_TYPE("test/a", .handler = handle, .state_size = 24, .state_fields = "uint64_t a[3];",
                .maps = {&map_c}, .state_version = 70000, .state_expire_after_write_ms = 5,
                .values = {&value_a, &value_b});
    struct machine machine;
    struct sfi_types types;
    struct sfi_type *type;
    struct sfi_batch batch;
    machine_init(&machine);
    sfi_types_init(&types, &machine.sys);
    sfi_batch_init(&batch, &machine.sys);
    OK(sfi_types_register(&types, &desc, NULL, &type));
    assert_int_equal(sfi_types_save(&types, &batch), 0);
    sf_bytes record = sfi_op_value(&batch.tables[SFI_META].ops[0]);
    memcpy(out, (const char *)record.data + SFI_RECORD_HEADER, record.size - SFI_RECORD_HEADER);
    size_t size = record.size - SFI_RECORD_HEADER;
    sfi_batch_fini(&batch);
    sfi_types_fini(&types);
    return size;
}

static void what_was_saved_comes_back(void **state)
{
    struct fixture *f = *state;
    unsigned char payload[1000];
    size_t size = saved_payload(payload);
    assert_int_equal(load(f, key_of("test/a"), payload, size), 0);
    const struct sfi_type *type = sfi_types_find(&f->types, "test/a");
    assert_ptr_equal(type, sfi_types_number(&f->types, 1));
    assert_int_equal(type->state_size, 24);
    assert_int_equal(type->state_version, 70000);
    assert_int_equal(type->state_expiry.since, f->machine.now_ns / 1000000);
    assert_int_equal(type->slot_count, 3);
    assert_string_equal(type->slots[0].name, "a");
    assert_string_equal(type->slots[1].name, "a longer name");
    assert_string_equal(type->layouts.stored->text, "uint64_t a[3];");
    assert_int_equal(type->layouts.stored->version, 70000);
    assert_string_equal(type->slots[2].layouts.stored->text, "uint64_t n;");
    assert_null(type->slots[1].layouts.stored);
    assert_int_equal(type->registered, 0);
    assert_int_equal(sfi_types_dirty(&f->types), 0);
}

/* In the order in which they were stored; a text that nobody understands stays, and is as good as none. */
static void the_newest_fields_are_kept_and_the_oldest_go(void **state)
{
    struct fixture *f = *state;
    struct sfi_batch batch;
    struct sfi_type *type = sfi_type_new(&f->machine.sys, "test/a", 6);
    type->number = 1;
    OK(sfi_types_place(&f->types, type));
    for (uint32_t version = 400; version; version--)
        OK(sfi_layouts_add(&f->machine.sys, &type->layouts, version,
                           version == 399 ? sf_str("quaternion q;") : sf_str("uint8_t n;")));
    sfi_batch_init(&batch, &f->machine.sys);
    OK(sfi_type_save(type, &batch));
    sf_bytes record = sfi_op_value(&batch.tables[SFI_META].ops[0]);
    sfi_types_fini(&f->types);
    sfi_types_init(&f->types, &f->machine.sys);
    OK(load(f, key_of("test/a"), (const char *)record.data + SFI_RECORD_HEADER,
            record.size - SFI_RECORD_HEADER));
    sfi_batch_fini(&batch);
    uint32_t count = 0, version = 400;
    type = sfi_types_find(&f->types, "test/a");
    for (struct sfi_layout *layout = type->layouts.stored; layout;
         layout = layout->older, count++) {
        assert_int_equal(layout->version, version--);
        assert_true(!layout->fields == (layout->version == 399));
    }
    assert_int_equal(count, SFI_LAYOUTS_MAX);
}

static void fields_of_nothing_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char head[] =
        "\x85\xa6number\x01\xa4size\x08\xa7version\x00\xa5slots\x91\xa3one\xa6"
        "fields\x91";
    static const struct {
        const char *bytes;
        size_t size;
        int is_taken;
    } ends[] = {{"\x93\x00\x00\xa3q w", 7, 1}, {"\x93\x01\x00\xa3q w", 7, 1},
                {"\x93\x02\x00\xa3q w", 7, 0}, {"\x93\x00\x00\xa3q\0w", 7, 0},
                {"\x92\x00\x00", 3, 0},        {"\x93\x00\xff\xa3q w", 7, 0},
                {"\x93\x00\x00\x00", 4, 0},    {"\xa3q w", 4, 0}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char payload[200];
        memcpy(payload, head, sizeof head - 1);
        memcpy(payload + sizeof head - 1, ends[i].bytes, ends[i].size);
        assert_int_equal(load(f, key_of("test/a"), payload, sizeof head - 1 + ends[i].size),
                         ends[i].is_taken ? 0 : SF_ECORRUPT);
        sfi_types_fini(&f->types);
        sfi_types_init(&f->types, &f->machine.sys);
    }
}

/* Format 2 had the names of values alone. */
static void a_slot_that_is_only_a_name_is_a_value(void **state)
{
    struct fixture *f = *state;
    static const unsigned char payload[] = "\x84\xa6number\x01\xa4size\x08\xa7version\x00"
                                           "\xa5slots\x92\xa3one\x83\xa4name\xa3two\xa4kind\x02"
                                           "\xa4size\x10";
    assert_int_equal(load(f, key_of("test/a"), payload, sizeof payload - 1), 0);
    const struct sfi_type *type = sfi_types_find(&f->types, "test/a");
    assert_int_equal(type->slots[0].kind, SFI_SLOT_VALUE);
    assert_int_equal(type->slots[0].size, 0);
    assert_int_equal(type->slots[1].kind, SFI_SLOT_MAP);
    assert_int_equal(type->slots[1].size, 16);
    assert_string_equal(type->slots[1].name, "two");
}

static void a_slot_of_an_unknown_kind_was_written_by_a_newer_library(void **state)
{
    struct fixture *f = *state;
    static const unsigned char payload[] = "\x84\xa6number\x01\xa4size\x08\xa7version\x00"
                                           "\xa5slots\x91\x82\xa4name\xa3two\xa4kind\x09";
    REFUSED(load(f, key_of("test/a"), payload, sizeof payload - 1), SF_ENEWER);
}

static void a_record_that_was_cut_is_refused(void **state)
{
    struct fixture *f = *state;
    unsigned char payload[1000];
    size_t size = saved_payload(payload);
    for (size_t cut = 0; cut < size; cut++) {
        REFUSED(load(f, key_of("test/a"), payload, cut), SF_ECORRUPT);
        assert_null(sfi_types_find(&f->types, "test/a"));
    }
}

/* Whatever it becomes: refused, or a type like any other. */
static void one_changed_byte_is_refused_or_harmless(void **state)
{
    struct fixture *f = *state;
    unsigned char payload[1000], changed[1000];
    size_t size = saved_payload(payload);
    for (size_t at = 0; at < size; at++)
        for (int byte = 0; byte < 256; byte += 5) {
            memcpy(changed, payload, size);
            changed[at] = (unsigned char)byte;
            int rc = load(f, key_of("test/a"), changed, size);
            assert_true(rc == 0 || rc == SF_ECORRUPT || rc == SF_ENEWER ||
                        rc == SF_ENOMEM);
            const struct sfi_type *type = sfi_types_find(&f->types, "test/a");
            assert_int_equal(type != NULL, rc == 0);
            if (type)
                assert_true(type->number >= 1 && type->number <= SF_TYPES_MAX &&
                            type->state_size <= SF_STATE_MAX && type->slot_count <= 3);
            sfi_types_fini(&f->types);
            sfi_types_init(&f->types, &f->machine.sys);
        }
}

static void without_memory_nothing_is_half_loaded(void **state)
{
    struct fixture *f = *state;
    unsigned char payload[1000];
    size_t size = saved_payload(payload);
    int rc = SF_ENOMEM;
    for (uint64_t nth = 1; rc == SF_ENOMEM; nth++) {
        f->machine.fail_allocation = f->machine.allocations + nth;
        rc = load(f, key_of("test/a"), payload, size);
        assert_int_equal(sfi_types_find(&f->types, "test/a") != NULL, rc == 0);
        assert_true(nth < 100);
    }
    f->machine.fail_allocation = 0;
    assert_int_equal(rc, 0);
}

/* -- what was not
 * --------------------------------------------------------------------------------------- */

struct record {
    uint64_t number, size, version;
    int slots, slot_is_number;
    sf_bytes slot;
    const char *without; /* this field is not there */
};

static void put_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str(packer, strlen(text));
    msgpack_pack_str_body(packer, text, strlen(text));
}

static void put_number(msgpack_packer *packer, const struct record *r, const char *name,
                       uint64_t number)
{
    put_text(packer, r->without && strcmp(r->without, name) == 0 ? "else" : name);
    msgpack_pack_uint64(packer, number);
}

static int load_record(struct fixture *f, struct record r, const char *name)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 4);
    put_number(&packer, &r, "number", r.number);
    put_number(&packer, &r, "size", r.size);
    put_number(&packer, &r, "version", r.version);
    put_text(&packer, r.without && strcmp(r.without, "slots") == 0 ? "else" : "slots");
    msgpack_pack_array(&packer, (size_t)r.slots);
    for (int i = 0; i < r.slots; i++) {
        char number[8] = {'n', (char)('a' + i / 256), (char)('a' + i / 16 % 16), (char)('a' + i % 16)};
        if (r.slot_is_number)
            msgpack_pack_uint64(&packer, 7);
        else if (r.slot.data && (msgpack_pack_str(&packer, r.slot.size), 1))
            msgpack_pack_str_body(&packer, r.slot.data, r.slot.size);
        else
            put_text(&packer, number);
    }
    int rc = load(f, key_of(name), buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return rc;
}

static void numbers_out_of_their_range_are_refused(void **state)
{
    struct fixture *f = *state;
    REFUSED(load_record(f, (struct record){.number = 0}, "test/a"), SF_ECORRUPT);
    REFUSED(load_record(f, (struct record){.number = SF_TYPES_MAX + 1}, "test/a"), SF_ECORRUPT);
    REFUSED(load_record(f, (struct record){.number = (UINT64_C(1) << 32) + 1}, "test/a"),
            SF_ECORRUPT);
    REFUSED(load_record(f, (struct record){.number = 1, .size = SF_STATE_MAX + 1}, "test/a"),
            SF_ECORRUPT);
    REFUSED(load_record(f, (struct record){.number = 1, .version = UINT64_C(1) << 32}, "test/a"),
            SF_ECORRUPT);
    assert_int_equal(load_record(f, (struct record){SF_TYPES_MAX, SF_STATE_MAX, UINT32_MAX, 0, 0,
                                                    SF_NONE, NULL}, "test/a"), 0);
    REFUSED(load_record(f, (struct record){.number = SF_TYPES_MAX}, "test/b"), SF_ECORRUPT);
    SAYS("two types");
}

static void a_record_without_a_field_is_refused(void **state)
{
    static const char *const fields[] = {"number", "size", "version", "slots"};
    struct fixture *f = *state;
    for (int i = 0; i < 4; i++)
        REFUSED(load_record(f, (struct record){.number = 1, .without = fields[i]}, "test/a"),
                SF_ECORRUPT);
    REFUSED(load(f, key_of("test/a"), "\x07", 1), SF_ECORRUPT); /* no map */
}

static void slots_without_a_proper_name_are_refused(void **state)
{
    static char long_name[SF_NAME_MAX + 1];
    struct fixture *f = *state;
    struct record r = {.number = 1, .slots = 1, .slot_is_number = 1};
    memset(long_name, 'x', sizeof long_name);
    REFUSED(load_record(f, r, "test/a"), SF_ECORRUPT);
    r.slot_is_number = 0;
    r.slot = SF_BYTES("", 0);
    REFUSED(load_record(f, r, "test/a"), SF_ECORRUPT);
    r.slot = SF_BYTES("a\0b", 3);
    REFUSED(load_record(f, r, "test/a"), SF_ECORRUPT);
    r.slot = SF_BYTES(long_name, SF_NAME_MAX + 1);
    REFUSED(load_record(f, r, "test/a"), SF_ECORRUPT);
    r.slots = 2;
    r.slot = SF_BYTES("twin", 4);
    REFUSED(load_record(f, r, "test/a"), SF_ECORRUPT);
    SAYS("twin");
    REFUSED(load_record(f, (struct record){.number = 1, .slots = SFI_SLOTS_MAX + 1}, "test/a"),
            SF_ECORRUPT);
    assert_int_equal(load_record(f, (struct record){.number = 1, .slots = SFI_SLOTS_MAX}, "test/a"), 0);
    r.slots = 1;
    r.number = 2;
    r.slot = SF_BYTES(long_name, SF_NAME_MAX);
    assert_int_equal(load_record(f, r, "test/b"), 0);
}

static void a_name_that_no_type_can_have_is_refused(void **state)
{
    struct fixture *f = *state;
    struct record r = {.number = 1};
    struct sfi_key cut = key_of("test/a");
    char long_name[130] = "x/";
    memset(long_name + 2, 'x', 126);
    REFUSED(load_record(f, r, ""), SF_ECORRUPT);
    REFUSED(load_record(f, r, "noslash"), SF_ECORRUPT);
    REFUSED(load_record(f, r, "test/a b"), SF_ECORRUPT);
    REFUSED(load_record(f, r, long_name), SF_ECORRUPT);
    cut.bytes[3] = 0;
    REFUSED(load(f, cut, "\x80", 1), SF_ECORRUPT);
    SAYS("no name");
}

#define HERE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(what_was_saved_comes_back),
        HERE(the_newest_fields_are_kept_and_the_oldest_go),
        HERE(fields_of_nothing_are_refused),
        HERE(a_slot_that_is_only_a_name_is_a_value),
        HERE(a_slot_of_an_unknown_kind_was_written_by_a_newer_library),
        HERE(a_record_that_was_cut_is_refused),
        HERE(one_changed_byte_is_refused_or_harmless),
        HERE(without_memory_nothing_is_half_loaded),
        HERE(numbers_out_of_their_range_are_refused),
        HERE(a_record_without_a_field_is_refused),
        HERE(slots_without_a_proper_name_are_refused),
        HERE(a_name_that_no_type_can_have_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
