/* test_type.c - types: found by name, numbered for ever, saved when they changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/type_record.h"
#include "support/machine.h"
#include "support/support.h"

struct fixture {
    struct machine machine;
    struct sfi_types types;
    struct sfi_batch batch;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    sfi_types_init(&f.types, &f.machine.sys);
    sfi_batch_init(&f.batch, &f.machine.sys);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sfi_types_fini(&f->types);
    sfi_batch_fini(&f->batch);
    return f->machine.live == 0 ? 0 : -1;
}

static int handle(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static sf_type type_named(const char *name)
{
    return (sf_type)SF_TYPE(name, .handler = handle, .state_size = 8);
}

static struct sfi_type *registered(struct fixture *f, const char *name)
{
    struct sfi_type *type = NULL;
    sf_type desc = type_named(name);
    OK(sfi_types_register(&f->types, &desc, NULL, &type));
    assert_non_null(type);
    return type;
}

static uint32_t saved(struct fixture *f)
{
    sfi_batch_reset(&f->batch);
    assert_int_equal(sfi_types_save(&f->types, &f->batch), 0);
    sfi_types_saved(&f->types);
    assert_int_equal(sfi_types_dirty(&f->types), 0);
    return f->batch.op_count;
}

static void a_type_is_found_by_pointer_and_by_content(void **state)
{
    struct fixture *f = *state;
    static const char one[] = "test/a", other[] = "test/b";
    char copy[] = "test/a", unknown[] = "test/c";
    struct sfi_type *a = registered(f, one), *b = registered(f, other);
    assert_ptr_equal(sfi_types_find(&f->types, one), a);
    assert_ptr_equal(sfi_types_find(&f->types, copy), a);
    assert_ptr_equal(sfi_types_find(&f->types, other), b);
    assert_null(sfi_types_find(&f->types, unknown));
}

/* The old text may be reused once another one was registered in its place. */
static void a_name_registered_again_elsewhere_is_found_there(void **state)
{
    struct fixture *f = *state;
    char first[] = "test/a";
    static const char second[] = "test/a";
    struct sfi_type *a = registered(f, first);
    assert_ptr_equal(registered(f, second), a);
    assert_int_equal(f->types.by_pointer.count, 1);
    memcpy(first, "test/b", sizeof first);
    assert_null(sfi_types_find(&f->types, first));
    assert_ptr_equal(sfi_types_find(&f->types, second), a);
}

/* Two walks over all for each took half a minute. */
static void as_many_types_as_fit_are_registered_in_no_time_and_no_more(void **state)
{
    struct fixture *f = *state;
    enum { BYTES = 16 };
    char *names = calloc(SF_TYPES_MAX, BYTES);
    struct sfi_type *type = NULL;
    uint64_t start_ms = mono_ms();
    for (int i = 0; i < SF_TYPES_MAX; i++) {
        snprintf(names + (size_t)i * BYTES, BYTES, "test/%d", i);
        assert_int_equal(registered(f, names + (size_t)i * BYTES)->number, i + 1);
    }
    assert_true(mono_ms() - start_ms < 5000);
    sf_type desc = type_named("test/more");
    REFUSED(sfi_types_register(&f->types, &desc, NULL, &type), SF_EINVAL);
    SAYS("65536 types");
    assert_null(sfi_types_find(&f->types, "test/more"));
    for (int i = 0; i < SF_TYPES_MAX; i += 97)
        assert_int_equal(sfi_types_find(&f->types, names + (size_t)i * BYTES)->number, i + 1);
    registered(f, names); /* again: that is not one more */
    assert_int_equal(saved(f), SF_TYPES_MAX);
    free(names);
}

static void only_types_that_changed_are_saved(void **state)
{
    struct fixture *f = *state;
    registered(f, "test/a");
    assert_true(sfi_types_dirty(&f->types));
    struct sfi_type *b = registered(f, "test/b");
    registered(f, "test/c");
    assert_int_equal(saved(f), 3);
    assert_int_equal(saved(f), 0);
    sfi_type_touch(&f->types, b);
    sfi_type_touch(&f->types, b);
    assert_int_equal(saved(f), 1);
    registered(f, "test/c"); /* nothing new */
    assert_int_equal(saved(f), 0);
}

static const sf_value value_a = SF_VALUE("a"), value_b = SF_VALUE("b");

static void an_added_value_is_saved(void **state)
{
    struct fixture *f = *state;
    struct sfi_type *type;
    sf_type desc = type_named("test/a");
    desc.values[0] = &value_a;
    OK(sfi_types_register(&f->types, &desc, NULL, &type));
    assert_int_equal(saved(f), 1);
    desc.values[1] = &value_b;
    OK(sfi_types_register(&f->types, &desc, NULL, &type));
    assert_int_equal(sfi_type_binding(type, &value_b.slot, SFI_SLOT_VALUE)->number, 2);
    assert_int_equal(saved(f), 1);
}

static const sf_map map_lines = SF_MAP("lines", .struct_size = 16);
static const sf_map map_notes = SF_MAP("notes");
static const sf_list list_lines = SF_LIST("lines");
static const sf_map map_lines_2 = SF_MAP("lines", .struct_size = 24, .struct_version = 1);

static int carry_over(uint32_t version, sf_bytes old, void *fresh)
{
    (void)version;
    memcpy(fresh, old.data, old.size);
    return 0;
}

static const sf_map map_lines_3 =
    SF_MAP("lines", .struct_size = 24, .struct_version = 1, .struct_migrate = carry_over);

static int registering(struct fixture *f, const sf_map *map, const sf_list *list)
{
    struct sfi_type *type;
    sf_type desc = type_named("test/a");
    desc.maps[0] = map;
    desc.lists[0] = list;
    return sfi_types_register(&f->types, &desc, NULL, &type);
}

static void a_slot_keeps_its_kind(void **state)
{
    struct fixture *f = *state;
    OK(registering(f, &map_lines, NULL));
    REFUSED(registering(f, NULL, &list_lines), SF_EINVAL);
    SAYS("slot 'lines' of 'test/a' is a map in the database and a list here: give it another name");
    OK(registering(f, &map_lines, NULL));
    REFUSED(registering(f, &map_lines, &list_lines), SF_EINVAL); /* nor two kinds at a time */
    SAYS("'lines' is listed twice");
}

static void a_slot_of_structs_stays_one_and_its_struct_needs_a_version_to_change(void **state)
{
    struct fixture *f = *state;
    static const sf_map bytes = SF_MAP("lines"), larger = SF_MAP("lines", .struct_size = 24);
    static const sf_map huge = SF_MAP("huge", .struct_size = SF_STATE_MAX + 1);
    static const sf_map lost = SF_MAP("lost", .struct_version = 1);
    OK(registering(f, &map_lines, NULL));
    REFUSED(registering(f, &bytes, NULL), SF_EINVAL);
    SAYS("holds structs in the database and bytes here");
    REFUSED(registering(f, &larger, NULL), SF_EINVAL);
    SAYS("16 bytes in the database and 24 here: give it version 1");
    REFUSED(registering(f, &map_lines_2, NULL), SF_EINVAL);
    SAYS("needs a struct_migrate");
    REFUSED(registering(f, &huge, NULL), SF_EINVAL);
    REFUSED(registering(f, &lost, NULL), SF_EINVAL);
    OK(registering(f, &map_lines_3, NULL));
    OK(registering(f, &map_lines, NULL)); /* nothing was stored in the new version yet */
}

static void the_version_of_a_slot_rises_with_what_is_stored(void **state)
{
    struct fixture *f = *state;
    OK(registering(f, &map_lines, NULL));
    OK(registering(f, &map_lines_3, NULL));
    struct sfi_type *type = sfi_types_find(&f->types, "test/a");
    assert_int_equal(saved(f), 1);
    sfi_type_raise_slot(&f->types, type, &type->bindings[0]);
    assert_int_equal(saved(f), 1);
    REFUSED(registering(f, &map_lines, NULL), SF_ENEWER);
    SAYS("the database holds version 1 of its struct, this is 0");
}

static void slots_of_all_kinds_have_numbers_of_one_row(void **state)
{
    struct fixture *f = *state;
    struct sfi_type *type;
    sf_type desc = type_named("test/a");
    desc.values[0] = &value_a;
    desc.maps[0] = &map_notes;
    desc.lists[0] = &list_lines;
    OK(sfi_types_register(&f->types, &desc, NULL, &type));
    assert_int_equal(sfi_type_binding(type, &value_a.slot, SFI_SLOT_VALUE)->number, 1);
    assert_int_equal(sfi_type_binding(type, &map_notes.slot, SFI_SLOT_MAP)->number, 2);
    assert_int_equal(sfi_type_binding(type, &list_lines.slot, SFI_SLOT_LIST)->number, 3);
    assert_null(sfi_type_binding(type, &list_lines.slot, SFI_SLOT_MAP));
    assert_null(sfi_type_binding(type, &map_lines.slot, SFI_SLOT_MAP));
    desc.maps[0] = NULL;
    desc.maps[1] = &map_notes;
    REFUSED(sfi_types_register(&f->types, &desc, NULL, &type), SF_EINVAL);
    SAYS("follows an empty one");
}

static void what_a_type_does_not_say_has_its_default(void **state)
{
    struct fixture *f = *state;
    struct sfi_type *type = registered(f, "test/a");
    assert_int_equal(type->attempts_max, 3);
    assert_int_equal(type->backoff_ms, 0);
    assert_int_equal(type->backoff_ms_max, 60000);
    sf_type desc = type_named("test/b");
    desc.attempts_max = 7;
    desc.backoff_ms = 11;
    desc.backoff_ms_max = 13;
    OK(sfi_types_register(&f->types, &desc, NULL, &type));
    assert_int_equal(type->attempts_max, 7);
    assert_int_equal(type->backoff_ms, 11);
    assert_int_equal(type->backoff_ms_max, 13);
}

static const sf_map map_of_fields =
    SF_MAP("fields", .struct_size = 8, .struct_fields = "char name[8];");

static void a_registration_without_memory_leaves_nothing_half_done(void **state)
{
    struct fixture *f = *state;
    uint32_t refused = 0;
    static char names[40][16];
    for (uint64_t i = 0; i < 40; i++) {
        char *name = names[i];
        struct sfi_type *type = NULL;
        snprintf(name, sizeof names[i], "test/%d", (int)i);
        sf_type desc = type_named(name);
        desc.values[0] = &value_a;
        desc.maps[0] = &map_of_fields;
        desc.state_size = 8;
        desc.state_fields = "uint64_t count;";
        for (uint64_t nth = 1; !type; nth++) {
            f->machine.fail_allocation = f->machine.allocations + nth;
            if (sfi_types_register(&f->types, &desc, NULL, &type) < 0)
                refused++;
        }
        f->machine.fail_allocation = 0;
        assert_int_equal(type->number, i + 1);
        assert_int_equal(type->slot_count, 2);
        assert_string_equal(type->layouts.stored->text, "uint64_t count;");
        assert_string_equal(type->slots[1].layouts.stored->text, "char name[8];");
        assert_ptr_equal(sfi_types_find(&f->types, name), type);
    }
    assert_true(refused >= 40 * 7);
    assert_int_equal(saved(f), 40);
}

#define HERE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static void names_are_printable_and_no_longer_than_they_may_be(void **state)
{
    struct fixture *f = *state;
    struct sfi_type *type = NULL;
    static const char *const bad[] = {"test/a\x7f", "test/a b", "test/a\x1f", "test/a\xe4", "test/", "/a",
                                      "a", "a/b/c"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sf_type desc = type_named(bad[i]);
        REFUSED(sfi_types_register(&f->types, &desc, NULL, &type), SF_EINVAL);
    }
    registered(f, "test/!~");
    static char name[SF_TYPE_NAME_MAX + 2] = "test/", value_name[SF_NAME_MAX + 2];
    memset(name + 5, 'n', SF_TYPE_NAME_MAX - 5);
    registered(f, name);
    name[SF_TYPE_NAME_MAX] = 'n';
    sf_type desc = type_named(name);
    REFUSED(sfi_types_register(&f->types, &desc, NULL, &type), SF_EINVAL);
    memset(value_name, 'v', SF_NAME_MAX);
    sf_value value = SF_VALUE(value_name);
    desc = type_named("test/valued");
    desc.values[0] = &value;
    OK(sfi_types_register(&f->types, &desc, NULL, &type));
    value_name[SF_NAME_MAX] = 'v';
    REFUSED(sfi_types_register(&f->types, &desc, NULL, &type), SF_EINVAL);
    desc = type_named("test/large");
    desc.state_size = SF_STATE_MAX;
    OK(sfi_types_register(&f->types, &desc, NULL, &type));
    desc = type_named("test/larger");
    desc.state_size = (size_t)SF_STATE_MAX + 1;
    REFUSED(sfi_types_register(&f->types, &desc, NULL, &type), SF_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(a_type_is_found_by_pointer_and_by_content),
        HERE(a_name_registered_again_elsewhere_is_found_there),
        HERE(as_many_types_as_fit_are_registered_in_no_time_and_no_more),
        HERE(only_types_that_changed_are_saved),
        HERE(an_added_value_is_saved),
        HERE(a_slot_keeps_its_kind),
        HERE(a_slot_of_structs_stays_one_and_its_struct_needs_a_version_to_change),
        HERE(the_version_of_a_slot_rises_with_what_is_stored),
        HERE(slots_of_all_kinds_have_numbers_of_one_row),
        HERE(what_a_type_does_not_say_has_its_default),
        HERE(a_registration_without_memory_leaves_nothing_half_done),
        HERE(names_are_printable_and_no_longer_than_they_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
