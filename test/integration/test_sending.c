/* test_sending.c - messages from outside: addresses, limits, tickets, waiting, asking. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

static sf_runtime *open_counters(const struct place *place, const sf_options *options)
{
    sf_runtime *rt = place_open_with(place, options);
    OK(sf_register(rt, &counter_type, NULL));
    return rt;
}

/* -- addresses --------------------------------------------------------------------------------- */

static sf_address counter_at(const void *id, size_t size)
{
    return (sf_address){.type = "test/counter", .id = {id, size}};
}

static void ids_have_1_to_255_bytes(void **state)
{
    static char id[256];
    uint64_t one = 1;
    sf_runtime *rt = open_counters(*state, NULL);
    memset(id, 0xff, sizeof id);
    REFUSED(sf_send(rt, counter_at(id, 0), "add", SF_OF(one)), SF_EINVAL);
    REFUSED(sf_send(rt, counter_at(id, 256), "add", SF_OF(one)), SF_EINVAL);
    REFUSED(sf_send(rt, counter_at(id, SIZE_MAX), "add", SF_OF(one)), SF_EINVAL);
    REFUSED(sf_send(rt, counter_at(NULL, 3), "add", SF_OF(one)), SF_EINVAL);
    OK(sf_send(rt, counter_at(id, 1), "add", SF_OF(one)));
    OK(sf_send(rt, counter_at(id, 255), "add", SF_OF(one)));
    drive_until_quiet(rt);
    assert_int_equal(stored_counter_of(rt, counter_at(id, 1)).total, 1);
    assert_int_equal(stored_counter_of(rt, counter_at(id, 255)).total, 1);
    assert_int_equal(stats_of(rt).turns, 2);
    OK(sf_runtime_close(rt));
}

/* Arbitrary bytes: no id is the beginning, the end or the text of another one. */
static void ids_of_any_bytes_stay_apart(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } ids[] = {{"a", 1},  {"a\0", 2},    {"a\0\0", 3}, {"\0", 1},   {"\0\0", 2},  {"\0a", 2},
               {"aa", 2}, {"\xff", 1},   {"/", 1},     {"\n", 1},   {"\xc3\xa4", 2}, {"a\0b", 3},
               {"a\xff", 2}, {"\1", 1},  {"\1a", 2},   {"%s", 2}};
    enum { COUNT = sizeof ids / sizeof ids[0] };
    sf_runtime *rt = open_counters(*state, NULL);
    for (uint64_t i = 0; i < COUNT; i++)
        OK(sf_send(rt, counter_at(ids[i].bytes, ids[i].size), "add", SF_OF((uint64_t){1u << i})));
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    rt = open_counters(*state, NULL);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(stored_counter_of(rt, counter_at(ids[i].bytes, ids[i].size)).total,
                         1u << i);
    OK(sf_runtime_close(rt));
}

static void bad_type_names_are_refused_everywhere(void **state)
{
    static char long_name[140] = "test/";
    const char *names[] = {"", "/", "counter", "test/", "/counter", "te st/counter",
                           "test/coun ter", "test/counter\n", "test/\x01", long_name};
    sf_runtime *rt = open_counters(*state, NULL);
    memset(long_name + 5, 'x', 123); /* 128 characters */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        sf_type type = SF_TYPE(names[i], .handler = counter_type.on[0].handler);
        REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
        int64_t ticket = sf_send(rt, sf_addr(names[i], "x"), "add", SF_NONE);
        assert_true(ticket == SF_EINVAL || ticket == SF_ENOTFOUND);
    }
    REFUSED(sf_send(rt, sf_addr(NULL, "x"), "add", SF_NONE), SF_EINVAL);
    REFUSED(sf_send(rt, sf_addr("test/nobody", "x"), "add", SF_NONE), SF_ENOTFOUND);
    SAYS("test/nobody");
    OK(sf_runtime_close(rt));
}

static void a_type_name_of_127_characters_works(void **state)
{
    static char name[128] = "test/";
    static sf_type type =
        SF_TYPE(name, .on = {{"add", NULL}}, .state_size = sizeof(struct counter));
    sf_runtime *rt = place_open(*state);
    memset(name + 5, 'x', 122);
    type.on[0] = counter_type.on[0];
    OK(sf_register(rt, &type, NULL));
    OK(sf_send(rt, sf_addr(name, "a"), "add", SF_OF((uint64_t){5})));
    drive_until_quiet(rt);
    assert_int_equal(stored_counter_of(rt, sf_addr(name, "a")).total, 5);
    OK(sf_runtime_close(rt));
}

/* -- limits ------------------------------------------------------------------------------------ */

static int note_size(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    const char *bytes = sf_msg(turn)->body.data;
    size_t size = sf_msg(turn)->body.size;
    note(&place->notes, "%zu%s ", size,
         size == 0 || (bytes[0] == 'x' && bytes[size - 1] == 'x') ? "" : "!");
    return 0;
}

static const sf_type scale = SF_TYPE("test/scale", .handler = note_size);

static void payloads_up_to_the_limit_pass_and_larger_ones_are_refused(void **state)
{
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.payload_max = 100000);
    sf_runtime *rt = place_open_with(place, &options);
    char *body = malloc(100001);
    assert_non_null(body);
    memset(body, 'x', 100001);
    OK(sf_register(rt, &scale, place));
    sf_address to = sf_addr("test/scale", "s");
    REFUSED(sf_send(rt, to, "weigh", SF_BYTES(body, 100001)), SF_EINVAL);
    SAYS("100000");
    REFUSED(sf_send(rt, to, "weigh", SF_BYTES(body, SIZE_MAX)), SF_EINVAL);
    REFUSED(sf_send(rt, to, "weigh", SF_BYTES(NULL, 1)), SF_EINVAL);
    OK(sf_send(rt, to, "weigh", SF_BYTES(body, 100000)));
    OK(sf_send(rt, to, "weigh", SF_BYTES(body, 0)));
    OK(sf_send(rt, to, "weigh", SF_NONE));
    OK(sf_runtime_close(rt)); /* by way of the disk */
    rt = place_open_with(place, &options);
    OK(sf_register(rt, &scale, place));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "100000 0 0 ");
    OK(sf_runtime_close(rt));
    free(body);
}

static void sixteen_mebibytes_are_the_most_that_can_be_allowed(void **state)
{
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.payload_max = (16u << 20) + 1);
    sf_runtime *rt = NULL;
    REFUSED(sf_runtime_open(place->db, &options, &rt), SF_EINVAL);
    assert_null(rt);
    options.payload_max = 16u << 20;
    rt = place_open_with(place, &options);
    char *body = malloc(16u << 20);
    assert_non_null(body);
    memset(body, 'x', 16u << 20);
    OK(sf_register(rt, &scale, place));
    OK(sf_send(rt, sf_addr("test/scale", "s"), "weigh", SF_BYTES(body, 16u << 20)));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "16777216 ");
    OK(sf_runtime_close(rt));
    free(body);
}

static void a_full_inbox_says_so_and_takes_more_after_a_step(void **state)
{
    static char body[1000];
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 100000);
    sf_runtime *rt = place_open_with(place, &options);
    int64_t ticket = 0, accepted = 0;
    memset(body, 'x', sizeof body);
    OK(sf_register(rt, &scale, place));
    while (accepted < 1000 &&
           (ticket = sf_send(rt, sf_addr("test/scale", "s"), "w", SF_OF(body))) > 0)
        accepted++;
    assert_int_equal(ticket, SF_EAGAIN);
    assert_in_range(accepted, 1, 100);
    OK(sf_wait_room(rt, 5000));
    OK(sf_send(rt, sf_addr("test/scale", "s"), "w", SF_OF(body)));
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).turns, accepted + 1);
    OK(sf_runtime_close(rt));
}

/* Else "no room just now" would be for ever. */
static void a_message_larger_than_the_whole_inbox_goes_through_when_it_is_alone(void **state)
{
    static char body[5000];
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 1000);
    sf_runtime *rt = place_open_with(place, &options);
    sf_source *source = NULL;
    int rc = 0;
    memset(body, 'x', sizeof body);
    OK(sf_register(rt, &scale, place));
    for (int i = 0; i < 3; i++) {
        OK(sf_wait_room(rt, 5000));
        OK(sf_send(rt, sf_addr("test/scale", "s"), "w", SF_OF(body)));
        drive_until_quiet(rt);
    }
    OK(sf_source_open(rt, "input", 0, &source));
    for (uint64_t position = 1; position <= 3; position++) {
        for (int i = 0; i < 3; i++)
            OK(sf_source_send(source, sf_addr("test/scale", "s"), "w", SF_OF(body)));
        for (int tries = 0; tries < 5 && (rc = sf_source_advance(source, position)) == SF_EAGAIN;
             tries++)
            OK(sf_run_until_idle(rt));
        assert_int_equal(rc, 0);
    }
    sf_source_close(source);
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).turns, 12);
    OK(sf_runtime_close(rt));
}

/* The limit is for what is sent, not for what was sent under a larger one. */
static void a_lower_limit_does_not_strand_what_is_there(void **state)
{
    static char body[5000];
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    sf_options options =
        SF_OPTIONS(.payload_max = 100, .inbox_bytes_max = 200, .epoch_turns_max = 1);
    memset(body, 'x', sizeof body);
    OK(sf_register(rt, &scale, place));
    OK(sf_send(rt, sf_addr("test/scale", "s"), "w", SF_OF(body)));
    OK(sf_runtime_close(rt));
    rt = place_open_with(place, &options);
    OK(sf_register(rt, &scale, place));
    REFUSED(sf_send(rt, sf_addr("test/scale", "s"), "w", SF_OF(body)), SF_EINVAL);
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "5000 ");
    OK(sf_runtime_close(rt));
}

/* Whatever the limit for kinds is, a long one is passed on whole or refused with a sentence. */
static void a_long_kind_is_whole_or_refused(void **state)
{
    static char kind[100001];
    static const size_t sizes[] = {100, 255, 256, 1000, 65535, 65536, 100000};
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    uint64_t accepted = 0;
    OK(sf_register(rt, &scale, place));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(kind, 'k', sizeof kind);
        kind[sizes[i]] = 0;
        int64_t ticket = sf_send(rt, sf_addr("test/scale", "s"), kind, SF_NONE);
        assert_true(ticket > 0 || ticket == SF_EINVAL);
        accepted += ticket > 0;
    }
    assert_true(accepted >= 1);
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).turns, accepted);
    OK(sf_runtime_close(rt));
}

/* -- order, tickets, waiting ------------------------------------------------------------------- */

static int note_number(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    uint64_t k = *(const uint64_t *)sf_body(turn, sizeof k);
    if (k != place->count + 1)
        note(&place->notes, "%" PRIu64 " after %" PRIu64 " ", k, place->count);
    place->count = k;
    return 0;
}

static const sf_type list = SF_TYPE("test/list", .handler = note_number);

static void messages_of_one_thread_to_one_actor_arrive_in_order_over_restarts(void **state)
{
    struct place *place = *state;
    uint64_t k = 0;
    int64_t last = 0;
    for (int run = 0; run < 5; run++) {
        sf_options options = SF_OPTIONS(.epoch_turns_max = 100);
        sf_runtime *rt = place_open_with(place, &options);
        OK(sf_register(rt, &list, place));
        last = 0;
        for (int i = 0; i < 1000; i++) {
            k++;
            int64_t ticket = OK(sf_send(rt, sf_addr("test/list", "l"), "k", SF_OF(k)));
            assert_true(ticket > last);
            last = ticket;
        }
        OK(sf_step(rt, 0)); /* the rest is left to the next run */
        OK(sf_runtime_close(rt));
    }
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &list, place));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "");
    assert_int_equal(place->count, 5000);
    OK(sf_runtime_close(rt));
}

static void a_ticket_becomes_durable_by_stepping(void **state)
{
    sf_runtime *rt = open_counters(*state, NULL);
    int64_t first = counter_add(rt, "a", 1);
    int64_t second = counter_add(rt, "a", 2);
    assert_true(second > first);
    assert_true(sf_durable(rt) < first);
    OK(sf_run_until_idle(rt));
    assert_true(sf_durable(rt) >= second);
    OK(sf_runtime_close(rt));
}

static void waiting_drives_until_the_ticket_is_on_disk(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counters(place, NULL);
    int64_t ticket = counter_add(rt, "a", 1);
    OK(sf_wait(rt, ticket, -1));
    assert_true(sf_durable(rt) >= ticket);
    ticket = counter_add(rt, "a", 1);
    OK(sf_wait(rt, 0, 5000));
    assert_true(sf_durable(rt) >= ticket);
    OK(sf_wait(rt, ticket, 0)); /* is durable already */
    OK(sf_wait(rt, 0, 0));
    OK(sf_runtime_close(rt));
}

static void no_one_can_wait_for_a_ticket_that_was_never_given(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counters(place, NULL);
    int64_t ticket = counter_add(rt, "a", 1);
    REFUSED(sf_wait(rt, ticket + 1, 1000), SF_EINVAL);
    REFUSED(sf_wait(rt, INT64_MAX, 1000), SF_EINVAL);
    assert_int_equal(sf_wait(rt, SF_EAGAIN, 1000), SF_EAGAIN); /* what a send answered */
    REFUSED(sf_then(rt, ticket + 1, NULL, NULL), SF_EINVAL);
    OK(sf_runtime_close(rt));
}

/* A child sends, waits and dies without closing: what it waited for is there (G2). */
static int send_wait_and_die(void *arg)
{
    struct place *place = arg;
    sf_runtime *rt = NULL;
    if (sf_runtime_open(place->db, defaults(), &rt) < 0 || sf_register(rt, &counter_type, NULL) < 0)
        return 2;
    for (uint64_t i = 1; i <= 100; i++)
        if (sf_send(rt, sf_addr("test/counter", "a"), "add", SF_OF(i)) < 0)
            return 3;
    return sf_wait(rt, 0, -1) < 0 ? 4 : 0;
}

static void what_was_waited_for_survives_the_process(void **state)
{
    assert_int_equal(in_child(send_wait_and_die, *state), 0);
    sf_runtime *rt = open_counters(*state, NULL);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 5050);
    assert_int_equal(counter_stored(rt, "a").messages, 100);
    OK(sf_runtime_close(rt));
}

/* -- completion -------------------------------------------------------------------------------- */

struct done {
    int calls, result;
    int64_t ticket;
};

static void remember_done(int result, int64_t ticket, void *userdata)
{
    struct done *done = userdata;
    done->calls++;
    done->result = result;
    done->ticket = ticket;
}

static void then_comes_once_when_the_ticket_is_durable(void **state)
{
    sf_runtime *rt = open_counters(*state, NULL);
    struct done early = {0}, late = {0};
    int64_t ticket = counter_add(rt, "a", 1);
    OK(sf_then(rt, ticket, remember_done, &early));
    assert_int_equal(early.calls, 0);
    drive_until_quiet(rt);
    OK(sf_then(rt, ticket, remember_done, &late)); /* durable long ago */
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    assert_int_equal(early.calls, 1);
    assert_int_equal(early.result, 0);
    assert_int_equal(early.ticket, ticket);
    assert_int_equal(late.calls, 1);
    assert_int_equal(late.result, 0);
    assert_int_equal(late.ticket, ticket);
}

static void close_makes_durable_and_calls_back(void **state)
{
    sf_runtime *rt = open_counters(*state, NULL);
    struct done done = {0};
    int64_t ticket = counter_add(rt, "a", 1);
    OK(sf_then(rt, ticket, remember_done, &done));
    OK(sf_runtime_close(rt));
    assert_int_equal(done.calls, 1);
    assert_int_equal(done.result, 0);
    assert_int_equal(done.ticket, ticket);
    rt = open_counters(*state, NULL);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 1);
    OK(sf_runtime_close(rt));
}

struct answered {
    int calls, result;
    char kind[32], reason[200];
    struct counter total;
    sf_runtime *rt;
    struct counter seen; /* through a view, inside the callback */
};

static void remember_answer(int result, const sf_message *reply, void *userdata)
{
    struct answered *answered = userdata;
    answered->calls++;
    answered->result = result;
    if (result < 0)
        snprintf(answered->reason, sizeof answered->reason, "%s", sf_errmsg());
    if ((reply == NULL) != (result < 0))
        answered->result = 12345;
    if (reply) {
        snprintf(answered->kind, sizeof answered->kind, "%s", reply->kind);
        if (reply->body.size == sizeof answered->total)
            memcpy(&answered->total, reply->body.data, sizeof answered->total);
    }
    sf_view *view;
    if (answered->rt && sf_view_open(answered->rt, &view) == 0) {
        sf_bytes bytes = sf_view_state(view, sf_addr("test/replier", "r"));
        if (bytes.size == sizeof answered->seen)
            memcpy(&answered->seen, bytes.data, bytes.size);
        sf_view_close(view);
    }
}

static int reply_variously(sf_turn *turn)
{
    const char *kind = sf_msg(turn)->kind;
    struct counter *self = sf_state(turn);
    self->messages++;
    if (!strcmp(kind, "once"))
        return sf_reply(turn, "first", SF_OF(*self));
    if (!strcmp(kind, "twice")) {
        sf_reply(turn, "first", SF_OF(*self));
        return sf_reply(turn, "second", SF_OF(*self));
    }
    return !strcmp(kind, "fail") ? sf_fail(turn, "I am not well") : 0;
}

static const sf_type replier = SF_TYPE("test/replier", .handler = reply_variously,
                                       .state_size = sizeof(struct counter));

static sf_runtime *open_replier(const struct place *place)
{
    sf_runtime *rt = open_counters(place, NULL);
    OK(sf_register(rt, &replier, NULL));
    return rt;
}

static const sf_address *replier_address(void)
{
    static const sf_address address = {"test/replier", {"r", 1}};
    return &address;
}

static void ask(sf_runtime *rt, const char *kind, int timeout_ms, struct answered *answered)
{
    OK(sf_ask_then(rt, *replier_address(), kind, SF_NONE, timeout_ms, remember_answer, answered));
}

/* The gate: whoever hears the reply finds the replying turn on disk. */
static void an_answer_comes_once_and_after_its_turn_is_on_disk(void **state)
{
    sf_runtime *rt = open_replier(*state);
    struct answered answered = {.rt = rt};
    ask(rt, "once", 5000, &answered);
    assert_int_equal(answered.calls, 0);
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    assert_int_equal(answered.calls, 1);
    assert_int_equal(answered.result, 0);
    assert_string_equal(answered.kind, "first");
    assert_int_equal(answered.total.messages, 1);
    assert_int_equal(answered.seen.messages, 1);
}

static void only_the_first_reply_counts(void **state)
{
    sf_runtime *rt = open_replier(*state);
    struct answered answered = {0};
    ask(rt, "twice", 5000, &answered);
    drive_until_quiet(rt);
    sf_message *reply = NULL;
    OK(sf_ask(rt, *replier_address(), "twice", SF_NONE, 5000, &reply));
    assert_true(sf_is(reply, "first"));
    sf_message_free(reply);
    sf_message_free(NULL);
    OK(sf_runtime_close(rt));
    assert_int_equal(answered.calls, 1);
    assert_string_equal(answered.kind, "first");
}

static void an_ask_that_fails_hears_the_reason(void **state)
{
    sf_runtime *rt = open_replier(*state);
    struct answered answered = {0};
    ask(rt, "fail", -1, &answered);
    drive_until_quiet(rt);
    assert_int_equal(answered.calls, 1);
    assert_int_equal(answered.result, SF_EFAILED);
    HAS(answered.reason, "I am not well");
    OK(sf_runtime_close(rt));
    assert_int_equal(answered.calls, 1);
}

static void an_ask_that_nobody_answers_times_out(void **state)
{
    sf_runtime *rt = open_replier(*state);
    struct answered answered = {0};
    sf_message *reply = NULL;
    ask(rt, "silence", 30, &answered);
    drive_until_quiet(rt);
    assert_int_equal(answered.calls, 1);
    assert_int_equal(answered.result, SF_ETIMEOUT);
    REFUSED(sf_ask(rt, *replier_address(), "silence", SF_NONE, 30, &reply), SF_ETIMEOUT);
    assert_null(reply);
    OK(sf_runtime_close(rt));
    assert_int_equal(answered.calls, 1);
}

static void an_ask_still_open_at_close_is_told_so(void **state)
{
    sf_runtime *rt = open_replier(*state);
    struct answered handled = {0}, fresh = {0};
    ask(rt, "silence", -1, &handled);
    OK(sf_run_until_idle(rt));
    ask(rt, "silence", -1, &fresh);
    OK(sf_runtime_close(rt));
    assert_int_equal(handled.calls, 1);
    assert_int_equal(handled.result, SF_ECLOSED);
    assert_int_equal(fresh.calls, 1);
    assert_int_equal(fresh.result, SF_ECLOSED);
}

static void who_was_forgotten_is_not_called(void **state)
{
    sf_runtime *rt = open_replier(*state);
    struct answered forgotten = {0}, kept = {0};
    struct done done = {0};
    ask(rt, "once", 5000, &forgotten);
    ask(rt, "silence", 5, &forgotten);
    ask(rt, "once", 5000, &kept);
    OK(sf_then(rt, counter_add(rt, "a", 1), remember_done, &done));
    OK(sf_then_cancel(rt, &forgotten));
    OK(sf_then_cancel(rt, &done));
    /* many have no userdata: it would be all of theirs */
    REFUSED(sf_then_cancel(rt, NULL), SF_EINVAL);
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    assert_int_equal(forgotten.calls, 0);
    assert_int_equal(done.calls, 0);
    assert_int_equal(kept.calls, 1);
    assert_int_equal(kept.result, 0);
}

static void a_reply_to_nobody_is_dropped_and_the_turn_kept(void **state)
{
    sf_runtime *rt = open_replier(*state);
    OK(sf_send(rt, *replier_address(), "once", SF_NONE));
    OK(sf_send(rt, *replier_address(), "twice", SF_NONE));
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).turns, 2);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    assert_int_equal(stored_counter_of(rt, *replier_address()).messages, 2);
    OK(sf_runtime_close(rt));
}

static void asking_an_unregistered_type_is_refused_without_a_callback(void **state)
{
    sf_runtime *rt = open_replier(*state);
    struct answered answered = {0};
    sf_message *reply = NULL;
    REFUSED(sf_ask(rt, sf_addr("test/nobody", "x"), "hi", SF_NONE, 1000, &reply), SF_ENOTFOUND);
    REFUSED(sf_ask_then(rt, sf_addr("test/nobody", "x"), "hi", SF_NONE, 1000, remember_answer,
                        &answered),
            SF_ENOTFOUND);
    REFUSED(sf_ask_then(rt, *replier_address(), "hi", SF_NONE, 1000, NULL, &answered), SF_EINVAL);
    OK(sf_runtime_close(rt));
    assert_int_equal(answered.calls, 0);
    assert_null(reply);
}

/* -- answering later --------------------------------------------------------------------------- */

struct desk {
    unsigned char asker[512];
    uint64_t size;
};

/* "ask" keeps who asked; "answer" answers them, turns or restarts later. */
static int desk_turn(sf_turn *turn)
{
    struct desk *self = sf_state(turn);
    if (sf_is(sf_msg(turn), "ask")) {
        sf_bytes saved = sf_addr_save(turn, sf_msg(turn)->from);
        if (!saved.data || saved.size > sizeof self->asker)
            return sf_fail(turn, "%zu bytes", saved.size);
        memcpy(self->asker, saved.data, saved.size);
        self->size = saved.size;
        return 0;
    }
    sf_address asker = sf_addr_load(turn, SF_BYTES(self->asker, self->size));
    return sf_tell(turn, asker, "later", sf_str("at last"));
}

static const sf_type desk =
    SF_TYPE("test/desk", .handler = desk_turn, .state_size = sizeof(struct desk));

static void an_asker_can_be_answered_in_a_later_turn(void **state)
{
    sf_runtime *rt = place_open(*state);
    struct answered answered = {0};
    OK(sf_register(rt, &desk, NULL));
    OK(sf_ask_then(rt, sf_addr("test/desk", "d"), "ask", SF_NONE, 5000, remember_answer,
                   &answered));
    OK(sf_run_until_idle(rt));
    assert_int_equal(answered.calls, 0);
    OK(sf_send(rt, sf_addr("test/desk", "d"), "answer", SF_NONE));
    drive_until_quiet(rt);
    assert_int_equal(answered.calls, 1);
    assert_string_equal(answered.kind, "later");
    OK(sf_runtime_close(rt));
}

static void an_asker_of_an_earlier_run_is_nobody(void **state)
{
    sf_runtime *rt = place_open(*state);
    struct answered answered = {0}, other = {0};
    OK(sf_register(rt, &desk, NULL));
    OK(sf_ask_then(rt, sf_addr("test/desk", "d"), "ask", SF_NONE, -1, remember_answer, &answered));
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
    assert_int_equal(answered.result, SF_ECLOSED);
    rt = place_open(*state);
    OK(sf_register(rt, &desk, NULL));
    OK(sf_register(rt, &replier, NULL));
    ask(rt, "silence", 200, &other); /* the same number as the first ask of the run before */
    OK(sf_send(rt, sf_addr("test/desk", "d"), "answer", SF_NONE));
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).turns_failed, 0);
    assert_int_equal(answered.calls, 1);
    assert_int_equal(other.calls, 1);
    assert_int_equal(other.result, SF_ETIMEOUT);
    OK(sf_runtime_close(rt));
}

/* Sends its asker on; the other actor answers, in the name of none of the two but to the point. */
static int delegate(sf_turn *turn)
{
    if (sf_is(sf_msg(turn), "ask")) {
        sf_bytes saved = sf_addr_save(turn, sf_msg(turn)->from);
        return sf_tell(turn, sf_addr("test/delegate", "second"), "for", saved);
    }
    return sf_tell(turn, sf_addr_load(turn, sf_msg(turn)->body), "from the second", SF_NONE);
}

static void another_actor_may_answer_the_asker(void **state)
{
    static const sf_type type = SF_TYPE("test/delegate", .handler = delegate);
    sf_runtime *rt = place_open(*state);
    sf_message *reply = NULL;
    OK(sf_register(rt, &type, NULL));
    OK(sf_ask(rt, sf_addr("test/delegate", "first"), "ask", SF_NONE, 5000, &reply));
    assert_string_equal(reply->kind, "from the second");
    assert_string_equal(id_text(reply->from), "second");
    sf_message_free(reply);
    OK(sf_runtime_close(rt));
}

/* Saves and loads an address with a binary id, then tells it; "junk" loads what is no address. */
static int save_and_load(sf_turn *turn)
{
    if (sf_is(sf_msg(turn), "junk"))
        return sf_tell(turn, sf_addr_load(turn, sf_msg(turn)->body), "add", SF_OF((uint64_t){1}));
    sf_bytes saved = sf_addr_save(turn, counter_at("x\0y", 3));
    sf_address loaded = sf_addr_load(turn, saved);
    return sf_tell(turn, loaded, "add", SF_OF((uint64_t){9}));
}

static void a_saved_address_comes_back_byte_for_byte(void **state)
{
    static const sf_type saver = SF_TYPE("test/saver", .handler = save_and_load);
    sf_runtime *rt = open_counters(*state, NULL);
    OK(sf_register(rt, &saver, NULL));
    OK(sf_send(rt, sf_addr("test/saver", "s"), "go", SF_NONE));
    drive_until_quiet(rt);
    assert_int_equal(stored_counter_of(rt, counter_at("x\0y", 3)).total, 9);
    assert_int_equal(stats_of(rt).turns_failed, 0);
    OK(sf_runtime_close(rt));
}

static void bytes_that_are_no_address_fail_the_turn(void **state)
{
    static const sf_type saver = SF_TYPE("test/saver", .handler = save_and_load, .attempts_max = 1);
    char junk[300];
    sf_runtime *rt = open_counters(*state, NULL);
    OK(sf_register(rt, &saver, NULL));
    for (size_t i = 0; i < 300; i++) {
        memset(junk, (int)(i % 7 == 0 ? 0 : i), i);
        OK(sf_send(rt, sf_addr("test/saver", "s"), "junk", SF_BYTES(junk, i)));
    }
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).turns, 0);
    assert_int_equal(stats_of(rt).dead_letters, 300);
    OK(sf_runtime_close(rt));
}

/* Loads what it is sent, and does nothing with it. */
static int load_only(sf_turn *turn)
{
    (void)sf_addr_load(turn, sf_msg(turn)->body);
    return 0;
}

static int is_loaded(sf_runtime *rt, const char *bytes, size_t size)
{
    uint64_t kept = stats_of(rt).turns;
    OK(sf_send(rt, sf_addr("test/loader", "l"), "load", SF_BYTES(bytes, size)));
    OK(sf_run_until_idle(rt));
    return stats_of(rt).turns > kept;
}

/* Byte 0 is the length of the type's name; the id is the rest. */
static void only_a_whole_saved_address_is_loaded(void **state)
{
    static const sf_type loader = SF_TYPE("test/loader", .handler = load_only, .attempts_max = 1);
    sf_runtime *rt = open_counters(*state, NULL);
    char saved[1 + 200 + 300] = "\6test/c";
    OK(sf_register(rt, &loader, NULL));
    for (size_t size = 0; size < 7 + 300; size++)
        assert_int_equal(is_loaded(rt, saved, size), size >= 8 && size <= 7 + 255);
    saved[3] = 0; /* a name does not end before its end */
    assert_false(is_loaded(rt, saved, 10));
    memset(saved, 'x', sizeof saved);
    saved[0] = 127;
    assert_true(is_loaded(rt, saved, 1 + 127 + 5));
    saved[0] = (char)128;
    assert_false(is_loaded(rt, saved, 1 + 128 + 5));
    saved[0] = (char)255;
    assert_false(is_loaded(rt, saved, 1 + 255 + 5));
    saved[0] = 0; /* the outside: nobody, or the eight bytes of an asker */
    for (size_t id_size = 0; id_size < 20; id_size++)
        assert_int_equal(is_loaded(rt, saved, 1 + id_size), id_size == 0 || id_size == 8);
    OK(sf_runtime_close(rt));
}

/* -- messages for nobody yet ------------------------------------------------------------------- */

static void messages_wait_over_restarts_until_their_type_is_registered(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counters(place, NULL);
    for (uint64_t i = 1; i <= 50; i++)
        counter_add(rt, "a", i);
    OK(sf_runtime_close(rt)); /* accepted, not handled */
    for (int run = 0; run < 3; run++) {
        rt = place_open(place);
        OK(sf_register(rt, &list, place));
        OK(sf_send(rt, sf_addr("test/list", "l"), "k", SF_OF((uint64_t){run + 1u})));
        drive_until_quiet(rt);
        assert_int_equal(stats_of(rt).messages_waiting, 50);
        assert_int_equal(place->count, run + 1); /* others go on */
        OK(sf_runtime_close(rt));
    }
    rt = place_open(place);
    drive_until_quiet(rt);
    OK(sf_register(rt, &counter_type, NULL));
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 1275);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

struct last_words {
    sf_runtime *rt;
    int sent, closed, calls;
};

static void say_last_words(int result, int64_t ticket, void *userdata)
{
    struct last_words *words = userdata;
    (void)result, (void)ticket;
    words->calls++;
    words->sent = (int)sf_send(words->rt, sf_addr("test/counter", "a"), "add", SF_OF(words->calls));
    words->closed = sf_runtime_close(words->rt);
}

/* What it sent would be accepted and lost. */
static void a_callback_during_close_can_neither_send_nor_close(void **state)
{
    struct last_words words = {.rt = place_open(*state)};
    OK(sf_register(words.rt, &counter_type, NULL));
    OK(sf_then(words.rt, counter_add(words.rt, "a", 1), say_last_words, &words));
    OK(sf_runtime_close(words.rt));
    assert_int_equal(words.calls, 1);
    assert_int_equal(words.sent, SF_ECLOSED);
    assert_int_equal(words.closed, SF_EBUSY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_callback_during_close_can_neither_send_nor_close),
        TEST(ids_have_1_to_255_bytes),
        TEST(ids_of_any_bytes_stay_apart),
        TEST(bad_type_names_are_refused_everywhere),
        TEST(a_type_name_of_127_characters_works),
        TEST(payloads_up_to_the_limit_pass_and_larger_ones_are_refused),
        TEST(sixteen_mebibytes_are_the_most_that_can_be_allowed),
        TEST(a_full_inbox_says_so_and_takes_more_after_a_step),
        TEST(a_message_larger_than_the_whole_inbox_goes_through_when_it_is_alone),
        TEST(a_lower_limit_does_not_strand_what_is_there),
        TEST(a_long_kind_is_whole_or_refused),
        TEST(messages_of_one_thread_to_one_actor_arrive_in_order_over_restarts),
        TEST(a_ticket_becomes_durable_by_stepping),
        TEST(waiting_drives_until_the_ticket_is_on_disk),
        TEST(no_one_can_wait_for_a_ticket_that_was_never_given),
        TEST(what_was_waited_for_survives_the_process),
        TEST(then_comes_once_when_the_ticket_is_durable),
        TEST(close_makes_durable_and_calls_back),
        TEST(an_answer_comes_once_and_after_its_turn_is_on_disk),
        TEST(only_the_first_reply_counts),
        TEST(an_ask_that_fails_hears_the_reason),
        TEST(an_ask_that_nobody_answers_times_out),
        TEST(an_ask_still_open_at_close_is_told_so),
        TEST(who_was_forgotten_is_not_called),
        TEST(a_reply_to_nobody_is_dropped_and_the_turn_kept),
        TEST(asking_an_unregistered_type_is_refused_without_a_callback),
        TEST(an_asker_can_be_answered_in_a_later_turn),
        TEST(an_asker_of_an_earlier_run_is_nobody),
        TEST(another_actor_may_answer_the_asker),
        TEST(a_saved_address_comes_back_byte_for_byte),
        TEST(bytes_that_are_no_address_fail_the_turn),
        TEST(only_a_whole_saved_address_is_loaded),
        TEST(messages_wait_over_restarts_until_their_type_is_registered),
    };
    return cmocka_run_group_tests_name("sending", tests, NULL, NULL);
}
