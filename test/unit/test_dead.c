/* test_dead.c - lib/run/dead: dead letters are bounded, dropped, sent again, and in nobody's way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/life.h"
#include "run/runtime.h"
#include "store/mem_store.h"
#include "support/machine.h"
#include "support/support.h"

static const char PATIENT[] = "test/patient";

/* Is rejected until told otherwise; then notes who sent what, and the attempt, and replies. */
struct patient {
    struct notes notes;
    int accepts;
};

static int patient_take(sf_turn *turn)
{
    struct patient *patient = sf_userdata(turn);
    const sf_message *msg = sf_msg(turn);
    if (!patient->accepts)
        return sf_reject(turn, "the patient is not ready yet");
    note(&patient->notes, "%s>%s %.*s #%u ", msg->from.type ? id_text(msg->from) : "outside",
         id_text(msg->to), (int)msg->body.size, msg->body.data ? (const char *)msg->body.data : "",
         msg->attempt);
    return sf_reply(turn, "done", SF_NONE);
}

static int referrer_send(sf_turn *turn)
{
    return sf_tell(turn, sf_addr(PATIENT, "p"), "x", sf_msg(turn)->body);
}

static int referrer_done(sf_turn *turn)
{
    struct patient *patient = sf_userdata(turn);
    note(&patient->notes, "replied ");
    return 0;
}

static const sf_type patient_type = SF_TYPE("test/patient", .handler = patient_take);
static const sf_type referrer_type =
    SF_TYPE("test/referrer", .on = {{"send", referrer_send}, {"done", referrer_done}});

static sf_runtime *open_patient(struct place *place, struct patient *patient, sf_options options)
{
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &patient_type, patient));
    OK(sf_register(rt, &referrer_type, patient));
    OK(sf_register(rt, &counter_type, NULL));
    return rt;
}

static int64_t treat(sf_runtime *rt, const char *text)
{
    return sf_send(rt, sf_addr(PATIENT, "p"), "x", sf_str(text));
}

static void bury(sf_runtime *rt, int count, size_t size)
{
    static const char body[4096];
    for (int i = 0; i < count; i++)
        OK(sf_send(rt, sf_addr(PATIENT, "p"), "x", SF_BYTES(body, size)));
    OK(sf_run_until_idle(rt));
}

/* The sequences that are on disk. */
static const char *kept(sf_runtime *rt, struct notes *notes)
{
    sf_view *view;
    notes_clear(notes);
    OK(sf_view_open(rt, &view));
    const sf_message *letter = sf_view_dead(view, 0);
    for (; letter; letter = sf_view_dead(view, letter->sequence))
        note(notes, "%" PRIu64 " ", letter->sequence);
    assert_int_equal(sf_view_error(view), 0);
    sf_view_close(view);
    return noted(notes);
}

static uint64_t count_kept(sf_runtime *rt)
{
    sf_view *view;
    uint64_t count = 0;
    OK(sf_view_open(rt, &view));
    const sf_message *letter = sf_view_dead(view, 0);
    for (; letter; letter = sf_view_dead(view, letter->sequence))
        count++;
    sf_view_close(view);
    return count;
}

/* -- bounds ------------------------------------------------------------------------------------ */

static void beyond_the_bound_the_oldest_go_and_are_counted(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    for (int run = 0; run < 2; run++) {
        sf_runtime *rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.dead_max = 3));
        bury(rt, 10, 1);
        assert_string_equal(kept(rt, &place->notes), run ? "18 19 20 " : "8 9 10 ");
        assert_int_equal(stats_of(rt).dead_letters, 10);
        assert_int_equal(stats_of(rt).dead_evicted, run ? 10 : 7);
        assert_int_equal(stats_of(rt).dead_kept, 3);
        OK(sf_runtime_close(rt));
    }
}

static void the_bound_in_bytes_keeps_what_fits_and_always_the_newest(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.dead_bytes_max = 5000));
    bury(rt, 20, 1000);
    assert_string_equal(kept(rt, &place->notes), "17 18 19 20 ");
    assert_in_range(rt->dead.bytes, 4000, 5000);
    OK(sf_runtime_close(rt));
    rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.dead_bytes_max = 5000));
    assert_in_range(rt->dead.bytes, 4000, 5000);
    bury(rt, 1, 4096);
    assert_string_equal(kept(rt, &place->notes), "21 ");
    OK(sf_runtime_close(rt));
    rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.dead_bytes_max = 1));
    bury(rt, 2, 4096);
    assert_string_equal(kept(rt, &place->notes), "23 ");
    OK(sf_run_until_idle(rt)); /* and there is nothing to be done about it */
    assert_int_equal(sf_timeout_ms(rt), -1);
    OK(sf_runtime_close(rt));
}

/* Beyond it is no more than what the newest epochs buried. */
static void the_bound_holds_while_more_and_more_come(void **state)
{
    struct patient patient = {.accepts = 0};
    sf_runtime *rt =
        open_patient(*state, &patient, (sf_options)SF_OPTIONS(.dead_max = 100, .commit_inline = 1));
    for (int step = 0; step < 30; step++) {
        for (int i = 0; i < 2000; i++)
            OK(treat(rt, "x"));
        OK(sf_step(rt, 0));
        assert_in_range(rt->dead.count, 1, 100 + 3 * 2000);
    }
    OK(sf_run_until_idle(rt));
    assert_int_equal(rt->dead.count, 100);
    OK(sf_runtime_close(rt));
}

/* With the default bounds, far more poison than the database could hold. */
static void poison_fills_no_database_and_refuses_nobody(void **state)
{
    struct patient patient = {.accepts = 0};
    sf_options options = SF_OPTIONS(.store_bytes_max = 8 << 20);
    sf_runtime *rt = open_patient(*state, &patient, options);
    for (int i = 0; i < 200; i++) {
        bury(rt, 100, 1000);
        OK(sf_wait(rt, counter_add(rt, "good", 1), 10000));
    }
    assert_int_equal(stats_of(rt).dead_letters, 20000);
    assert_in_range(rt->dead.bytes, 1, (8 << 20) / 16);
    assert_int_equal(count_kept(rt), stats_of(rt).dead_kept);
    OK(sf_runtime_close(rt));
}

/* Until nothing more is accepted, as it could be before there was a bound. */
static sf_runtime *fill_with_letters(struct place *place, struct patient *patient)
{
    static const char body[2000];
    sf_runtime *rt =
        open_patient(place, patient,
                     (sf_options)SF_OPTIONS(.store_bytes_max = 8 << 20, .dead_max = UINT64_MAX,
                                            .dead_bytes_max = UINT64_MAX, .commit_inline = 1));
    for (size_t size = sizeof body; size; size /= 50)
        for (int refused = 0; refused < 50;) { /* the sweep makes a little room */
            if (sf_send(rt, sf_addr(PATIENT, "p"), "x", SF_BYTES(body, size)) < 0)
                refused++;
            (void)sf_step(rt, 0);
        }
    assert_true(rt->dead.count > 1500);
    return rt;
}

static void a_database_full_of_letters_is_worked_off_beside_everything_else(void **state)
{
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = fill_with_letters(*state, &patient);
    (void)sf_runtime_close(rt);
    rt = open_patient(*state, &patient, (sf_options)SF_OPTIONS(.store_bytes_max = 8 << 20));
    const uint64_t one = 1;
    for (uint64_t end = mono_ms() + 10000;
         sf_send(rt, sf_addr("test/counter", "good"), "add", SF_OF(one)) < 0;) {
        assert_true(mono_ms() < end);
        (void)sf_step(rt, 0);
    }
    OK(sf_run_until_idle(rt));
    assert_in_range(rt->dead.bytes, 1, (8 << 20) / 16);
    assert_int_equal(count_kept(rt), rt->dead.count);
    assert_int_equal(counter_stored(rt, "good").total, 1);
    OK(sf_runtime_close(rt));
}

/* -- dropped ----------------------------------------------------------------------------------- */

static void a_dropped_letter_is_gone_and_counted_once(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_options options = SF_OPTIONS(.commit_inline = is_inline);
        snprintf(place->db, sizeof place->db, "%.200s/%d", place->dir, is_inline);
        sf_runtime *rt = open_patient(place, &patient, options);
        bury(rt, 5, 100);
        uint64_t bytes = rt->dead.bytes;
        OK(sf_dead_drop(rt, 2)); /* twice in one epoch, and again while that is under way */
        OK(sf_dead_drop(rt, 2));
        OK(sf_step(rt, 0));
        assert_true(sf_dead_drop(rt, 2) != 0); /* there still, or not any more */
        OK(sf_dead_drop(rt, 4));
        OK(sf_run_until_idle(rt));
        assert_string_equal(kept(rt, &place->notes), "1 3 5 ");
        assert_int_equal(stats_of(rt).dead_kept, 3);
        assert_int_equal(rt->dead.bytes, bytes / 5 * 3);
        REFUSED(sf_dead_drop(rt, 2), SF_ENOTFOUND);
        REFUSED(sf_dead_drop(rt, 0), SF_ENOTFOUND);
        REFUSED(sf_dead_drop(rt, 6), SF_ENOTFOUND);
        REFUSED(sf_dead_drop(rt, UINT64_MAX), SF_ENOTFOUND);
        SAYS("no dead letter");
        OK(sf_runtime_close(rt));
        rt = open_patient(place, &patient, options);
        assert_string_equal(kept(rt, &place->notes), "1 3 5 ");
        assert_int_equal(rt->dead.count, 3);
        OK(sf_runtime_close(rt));
    }
}

/* What was dropped in an epoch that is not durable yet is not evicted, and not counted, a second
 * time. */
static void a_letter_that_was_dropped_is_not_evicted_too(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.dead_max = 5));
    bury(rt, 5, 100);
    OK(sfi_dead_drop(rt, 1)); /* in the open epoch */
    rt->dead.count_max = 2;
    OK(sf_run_until_idle(rt));
    assert_string_equal(kept(rt, &place->notes), "4 5 ");
    assert_int_equal(stats_of(rt).dead_kept, 2);
    assert_int_equal(stats_of(rt).dead_evicted, 2);
    OK(sfi_dead_drop(rt, 1)); /* long gone */
    assert_int_equal(rt->dead.count, 2);
    OK(sf_runtime_close(rt));
}

static void letters_can_be_dropped_from_a_database_that_is_full(void **state)
{
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = fill_with_letters(*state, &patient);
    REFUSED(treat(rt, "one more"), SF_EDISK);
    REFUSED(sf_dead_resend(rt, 1), SF_EDISK);
    for (uint64_t sequence = 1; sequence <= 600; sequence++)
        OK(sf_dead_drop(rt, sequence));
    for (uint64_t end = mono_ms() + 10000; treat(rt, "one more") < 0;) {
        assert_true(mono_ms() < end);
        (void)sf_step(rt, 0);
    }
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
}

/* -- sent again -------------------------------------------------------------------------------- */

static void a_letter_sent_again_comes_last_as_a_first_attempt_from_whom_it_was(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.must_exist = 0));
    sf_message *reply = NULL;
    OK(treat(rt, "a"));
    OK(sf_send(rt, sf_addr("test/referrer", "r"), "send", sf_str("b")));
    OK(sf_run_until_idle(rt));
    REFUSED(sf_ask(rt, sf_addr(PATIENT, "p"), "x", sf_str("c"), 10000, &reply), SF_EFAILED);
    OK(sf_runtime_close(rt));

    rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.must_exist = 1));
    patient.accepts = 1;
    OK(treat(rt, "first"));
    for (uint64_t sequence = 3; sequence >= 1; sequence--)
        for (int twice = 0; twice < 2; twice++)
            OK(sf_dead_resend(rt, sequence));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&patient.notes), "outside>p first #1 outside>p c #1 r>p b #1 "
                                               "outside>p a #1 replied ");
    assert_string_equal(kept(rt, &place->notes), "");
    assert_int_equal(rt->dead.count, 0);
    assert_int_equal(rt->dead.bytes, 0);
    REFUSED(sf_dead_resend(rt, 1), SF_ENOTFOUND);
    OK(sf_runtime_close(rt));
    free(patient.notes.text);
}

static void a_letter_that_fails_again_is_a_new_one(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.must_exist = 0));
    bury(rt, 2, 10);
    int64_t ticket = OK(sf_dead_resend(rt, 1));
    OK(sf_wait(rt, ticket, 10000));
    OK(sf_run_until_idle(rt));
    assert_string_equal(kept(rt, &place->notes), "2 3 ");
    OK(sf_runtime_close(rt));
}

static void a_letter_to_a_type_that_nobody_registered_is_not_sent(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.must_exist = 0));
    bury(rt, 1, 10);
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    REFUSED(sf_dead_resend(rt, 1), SF_ENOTFOUND);
    SAYS("test/patient");
    OK(sfi_dead_resend(rt, 1)); /* the engine's look is its own */
    OK(sf_run_until_idle(rt));
    assert_string_equal(kept(rt, &place->notes), "1 ");
    OK(sf_dead_drop(rt, 1));
    OK(sf_runtime_close(rt));
}

/* Counted, and not there: that is found out, and the next ones are kept. */
static void letters_that_are_counted_and_missing_are_forgotten(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.dead_max = 5));
    rt->dead.next = 21;
    rt->dead.count = 20;
    rt->dead.bytes = 2000;
    OK(sf_run_until_idle(rt));
    assert_int_equal(rt->dead.count, 0);
    bury(rt, 3, 10);
    assert_string_equal(kept(rt, &place->notes), "21 22 23 ");
    assert_int_equal(rt->dead.count, 3);
    OK(sf_runtime_close(rt));
}

/* -- without memory ---------------------------------------------------------------------------- */

struct scene {
    struct machine machine;
    struct sfi_mem_disk *disk;
    struct patient patient;
    sf_runtime *rt;
};

static void scene_open(struct scene *scene)
{
    struct sfi_store *store;
    sf_options options = SF_OPTIONS(.commit_inline = 1);
    *scene = (struct scene){.disk = sfi_mem_disk_new(sfi_sys_default())};
    machine_init(&scene->machine);
    OK(sfi_mem_open(&scene->machine.sys, scene->disk, &store));
    OK(sfi_runtime_open_with(&scene->machine.sys, store, &options, &scene->rt));
    OK(sf_register(scene->rt, &patient_type, &scene->patient));
    bury(scene->rt, 3, 100);
    scene->patient.accepts = 1;
}

static void scene_close(struct scene *scene)
{
    OK(sf_runtime_close(scene->rt));
    assert_int_equal(scene->machine.live, 0);
    sfi_mem_disk_free(scene->disk);
    free(scene->patient.notes.text);
}

/* Each allocation fails once; then the same again must do it, once. */
static void without_memory_nothing_happens_and_then_all_of_it(void **state)
{
    (void)state;
    for (int resend = 0; resend < 2; resend++)
        for (uint64_t fail = 1, failed = 1; failed; fail++) {
            struct scene scene;
            scene_open(&scene);
            uint64_t bytes = scene.rt->dead.bytes;
            uint64_t at = scene.machine.allocations + fail;
            scene.machine.fail_allocation = at;
            int rc = resend ? sfi_dead_resend(scene.rt, 2) : sfi_dead_drop(scene.rt, 2);
            failed = scene.machine.allocations >= at;
            scene.machine.fail_allocation = 0;
            if (rc < 0) {
                assert_int_equal(rc, SF_ENOMEM);
                assert_int_equal(scene.rt->dead.count, 3);
                assert_int_equal(scene.rt->mailbox.count, 0);
                OK(resend ? sfi_dead_resend(scene.rt, 2) : sfi_dead_drop(scene.rt, 2));
            }
            assert_int_equal(scene.rt->dead.count, 2);
            assert_int_equal(scene.rt->dead.bytes, bytes / 3 * 2);
            OK(sf_run_until_idle(scene.rt));
            assert_int_equal(count_kept(scene.rt), 2);
            assert_int_equal(stats_of(scene.rt).turns, resend);
            scene_close(&scene);
        }
}

/* -- counters ---------------------------------------------------------------------------------- */

static void counters_that_contradict_each_other_are_damage(void **state)
{
    struct sfi_dead dead;
    (void)state;
    sfi_dead_init(&dead, 1, 1);
    assert_int_equal(sfi_dead_recover(&dead, 5, 10, 5, 1000), 0);
    assert_int_equal(dead.count, 5);
    assert_int_equal(sfi_dead_recover(&dead, 10, 10, 0, 0), 0);
    assert_int_equal(sfi_dead_recover(&dead, 0, 10, 0, 0), SF_ECORRUPT);
    assert_int_equal(sfi_dead_recover(&dead, 11, 10, 0, 0), SF_ECORRUPT);
    assert_int_equal(sfi_dead_recover(&dead, 5, 10, 6, 0), SF_ECORRUPT);
    assert_int_equal(sfi_dead_recover(&dead, 1, 0, 0, 0), SF_ECORRUPT);
    assert_int_equal(sfi_dead_recover(&dead, 5, 10, 1, UINT64_MAX), SF_ECORRUPT);
    assert_int_equal(sfi_dead_recover(&dead, 5, 10, 1, (UINT64_C(2) << 24) * 2 - 1), 0);
    assert_int_equal(sfi_dead_recover(&dead, 5, 10, 1, (UINT64_C(2) << 24) * 2), SF_ECORRUPT);
    assert_non_null(strstr(sf_errmsg(), "dead letters"));
}

/* Far too many are worked off beside everything else: so many in a step that buries none. */
static void of_far_too_many_a_step_evicts_a_thousand(void **state)
{
    struct patient patient = {.accepts = 0};
    sf_runtime *rt = open_patient(*state, &patient, (sf_options)SF_OPTIONS(.commit_inline = 1));
    bury(rt, 2600, 1);
    OK(sf_runtime_close(rt));
    rt = open_patient(*state, &patient, (sf_options)SF_OPTIONS(.commit_inline = 1, .dead_max = 100));
    OK(sf_step(rt, 1));
    assert_int_equal(stats_of(rt).dead_kept, 2600 - 1024);
    OK(sf_step(rt, 1));
    assert_int_equal(stats_of(rt).dead_kept, 2600 - 2 * 1024);
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_kept, 100);
    assert_int_equal(stats_of(rt).dead_evicted, 2500);
    OK(sf_runtime_close(rt));
}

/* Without memory for it none is passed over: they go later. */
static void without_memory_eviction_waits(void **state)
{
    struct place *place = *state;
    struct patient patient = {.accepts = 0};
    struct machine machine;
    sf_options options = SF_OPTIONS(.commit_inline = 1, .dead_max = 5);
    sf_runtime *rt = open_patient(place, &patient, (sf_options)SF_OPTIONS(.commit_inline = 1));
    bury(rt, 40, 1);
    OK(sf_runtime_close(rt));
    machine_init(&machine);
    OK(sfi_runtime_open(&machine.sys, place->db, &options, &rt));
    for (uint64_t i = 1; i < 30; i++) {
        machine.fail_allocation = machine.allocations + i;
        (void)!sf_step(rt, 1);
        machine.fail_allocation = 0;
    }
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_kept, 5);
    OK(sf_runtime_close(rt));
    assert_int_equal(machine.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(beyond_the_bound_the_oldest_go_and_are_counted),
        TEST(the_bound_in_bytes_keeps_what_fits_and_always_the_newest),
        TEST(the_bound_holds_while_more_and_more_come),
        TEST(poison_fills_no_database_and_refuses_nobody),
        TEST(a_database_full_of_letters_is_worked_off_beside_everything_else),
        TEST(a_dropped_letter_is_gone_and_counted_once),
        TEST(a_letter_that_was_dropped_is_not_evicted_too),
        TEST(letters_can_be_dropped_from_a_database_that_is_full),
        TEST(a_letter_sent_again_comes_last_as_a_first_attempt_from_whom_it_was),
        TEST(a_letter_that_fails_again_is_a_new_one),
        TEST(a_letter_to_a_type_that_nobody_registered_is_not_sent),
        TEST(letters_that_are_counted_and_missing_are_forgotten),
        TEST(without_memory_nothing_happens_and_then_all_of_it),
        TEST(counters_that_contradict_each_other_are_damage),
        TEST(of_far_too_many_a_step_evicts_a_thousand),
        TEST(without_memory_eviction_waits),
    };
    return cmocka_run_group_tests_name("dead", tests, NULL, NULL);
}
