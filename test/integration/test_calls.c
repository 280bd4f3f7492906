/* test_calls.c - sf_call(): turns inside a turn, kept together or undone together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "statefun.h"
#include "support/support.h"

struct account {
    int64_t cents;
};

static sf_value memo = SF_VALUE("memo");

/* "move" (int64_t) adds and replies the balance; below zero it fails; "ask" replies "yes" and then "no"; "mute" says
 * nothing; "spend" writes everywhere and fails. */
static int run_account(sf_turn *turn)
{
    struct account *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    if (sf_is(msg, "ask"))
        return sf_reply(turn, "yes", SF_NONE) || sf_reply(turn, "no", SF_NONE);
    if (sf_is(msg, "mute"))
        return 0;
    const int64_t *cents = sf_body(turn, sizeof *cents);
    self->cents += *cents;
    sf_value_put(turn, &memo, sf_str(msg->kind));
    sf_emit(turn, "moved", "", SF_OF(self->cents));
    sf_tell(turn, sf_addr("test/teller", "told"), "hear", SF_NONE);
    if (self->cents < 0)
        return sf_fail(turn, "only %d cents", (int)(self->cents - *cents));
    return sf_reply(turn, "balance", SF_OF(self->cents));
}

static const sf_type account_type =
    SF_TYPE("test/account", .handler = run_account, .state_size = sizeof(struct account),
            .values = {&memo});

static struct place *notes_of(sf_turn *turn)
{
    return sf_userdata(turn);
}

static int64_t call(sf_turn *turn, const char *id, int64_t cents)
{
    const sf_message *reply = sf_call(turn, sf_addr("test/account", id), "move", SF_OF(cents));
    int64_t balance = -1;
    if (sf_is(reply, "balance") && reply->body.size == sizeof balance)
        memcpy(&balance, reply->body.data, sizeof balance);
    return balance;
}

static int transfer(sf_turn *turn)
{
    const int64_t *cents = sf_body(turn, sizeof *cents);
    int64_t to = call(turn, "to", *cents), from = call(turn, "from", -*cents);
    note(&notes_of(turn)->notes, "%d %d ", (int)to, (int)from);
    return 0;
}

static int answers(sf_turn *turn)
{
    const sf_message *first = sf_call(turn, sf_addr("test/account", "a"), "ask", SF_NONE);
    const sf_message *mute = sf_call(turn, sf_addr("test/account", "b"), "mute", SF_NONE);
    const sf_message *again = sf_call(turn, sf_addr("test/account", "a"), "ask", SF_NONE);
    note(&notes_of(turn)->notes, "%s %s '%s' %d %s ", first->kind, id_text(first->from), mute->kind,
         mute->body.data == NULL, again->kind);
    return 0;
}

static int hear(sf_turn *turn)
{
    notes_of(turn)->count++;
    return 0;
}

static const sf_type teller_type =
    SF_TYPE("test/teller", .on = {{"transfer", transfer}, {"answers", answers}, {"hear", hear}},
            .attempts_max = 2);

static int drop_records(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records;
    *(uint64_t *)userdata += count;
    return (int)count;
}

static uint64_t delivered;

static sf_runtime *open_bank(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &account_type, place));
    OK(sf_register(rt, &teller_type, place));
    delivered = 0;
    OK(sf_egress_register(rt, "moved", drop_records, &delivered));
    return rt;
}

static int64_t cents_of(sf_runtime *rt, const char *id)
{
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_bytes state = sf_view_state(view, sf_addr("test/account", id));
    int64_t cents = state.data ? ((const struct account *)state.data)->cents : INT64_MIN;
    sf_view_close(view);
    return cents;
}

static void transfer_cents(sf_runtime *rt, int64_t cents)
{
    OK(sf_send(rt, sf_addr("test/teller", "t"), "transfer", SF_OF(cents)));
    OK(sf_run_until_idle(rt));
}

static void calls_are_kept_with_the_turn_that_made_them(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_bank(place);
    OK(sf_send(rt, sf_addr("test/account", "from"), "move", SF_OF((int64_t){100})));
    transfer_cents(rt, 30);
    assert_int_equal(cents_of(rt, "from"), 70);
    assert_int_equal(cents_of(rt, "to"), 30);
    assert_string_equal(noted(&place->notes), "30 70 ");
    assert_int_equal(delivered, 3);
    assert_int_equal(place->count, 3); /* heard of each move */
    assert_int_equal(stats_of(rt).turns, 5);
    OK(sf_runtime_close(rt));
}

/* The first call went well; nothing of it is left: state, value, record, message. */
static void one_that_fails_undoes_all_of_them(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_bank(place);
    transfer_cents(rt, 30);
    assert_int_equal(cents_of(rt, "to"), INT64_MIN);
    assert_int_equal(cents_of(rt, "from"), INT64_MIN);
    assert_int_equal(delivered, 0);
    assert_int_equal(place->count, 0);
    assert_string_equal(noted(&place->notes), "30 -1 30 -1 "); /* both attempts of the teller's type */
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const sf_message *dead = sf_view_dead(view, 0);
    assert_non_null(dead);
    assert_string_equal(dead->to.type, "test/teller"); /* the outer message */
    assert_string_equal(dead->reason, "test/account from: only 0 cents");
    assert_null(sf_view_value(view, sf_addr("test/account", "to"), &memo).data);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void the_first_reply_is_the_answer_and_none_is_an_empty_one(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_bank(place);
    OK(sf_send(rt, sf_addr("test/teller", "t"), "answers", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "yes a '' 1 yes ");
    OK(sf_runtime_close(rt));
}

/* -- who cannot be called, and how deep -------------------------------------------------------------- */

/* Calls the next one, down to the body's depth; "me" calls itself, "back" calls one that calls back. */
static int run_deep(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    self->messages++;
    if (sf_is(sf_msg(turn), "me"))
        return (void)sf_call(turn, sf_self(turn), "down", SF_OF((uint64_t){0})), 0;
    if (sf_is(sf_msg(turn), "back"))
        return (void)sf_call(turn, sf_addr("test/deep", "other"), "to", SF_NONE), 0;
    if (sf_is(sf_msg(turn), "to"))
        return (void)sf_call(turn, sf_msg(turn)->from, "down", SF_OF((uint64_t){0})), 0;
    const uint64_t *left = sf_body(turn, sizeof *left);
    if (*left == 0)
        return sf_reply(turn, "bottom", SF_NONE);
    char id[24];
    uint64_t less = *left - 1;
    snprintf(id, sizeof id, "%llu", (unsigned long long)less);
    const sf_message *reply = sf_call(turn, sf_addr("test/deep", id), "down", SF_OF(less));
    self->total += sf_is(reply, "bottom");
    return sf_reply(turn, "bottom", SF_NONE);
}

static const sf_type deep_type =
    SF_TYPE("test/deep", .handler = run_deep, .state_size = sizeof(struct counter));

static void expect_dead(sf_runtime *rt, const char *kind, sf_bytes body, const char *reason)
{
    uint64_t before = stats_of(rt).dead_letters;
    OK(sf_send(rt, sf_addr("test/deep", "x"), kind, body));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, before + 1);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const sf_message *dead = sf_view_dead(view, before);
    assert_non_null(dead);
    assert_int_equal(dead->attempt, 1); /* it would fail again */
    HAS(dead->reason, reason);
    assert_null(sf_next(sf_view_actors(view, "test/deep")));
    sf_view_close(view);
}

static void calls_in_a_circle_and_too_deep_are_rejected(void **state)
{
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &deep_type, NULL));
    expect_dead(rt, "me", SF_NONE, "in the middle of its own turn");
    expect_dead(rt, "back", SF_NONE, "in the middle of its own turn");
    expect_dead(rt, "down", SF_OF((uint64_t){16}), "deeper than 16");
    OK(sf_send(rt, sf_addr("test/deep", "x"), "down", SF_OF((uint64_t){15})));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 3);
    OK(sf_runtime_close(rt));
}

static int bad_calls(sf_turn *turn)
{
    static const char long_id[300] = {1};
    const sf_message *msg = sf_msg(turn);
    if (sf_is(msg, "outside"))
        sf_call(turn, (sf_address){NULL, {"", 0}}, "", SF_NONE);
    if (sf_is(msg, "unknown"))
        sf_call(turn, sf_addr("test/nobody", "a"), "", SF_NONE);
    if (sf_is(msg, "id"))
        sf_call(turn, (sf_address){"test/account", SF_BYTES(long_id, sizeof long_id)}, "", SF_NONE);
    if (sf_is(msg, "body"))
        sf_call(turn, sf_addr("test/account", "a"), "", (sf_bytes){NULL, 5});
    const sf_message *nothing = sf_call(turn, sf_addr("test/account", "a"), "ask", SF_NONE);
    note(&notes_of(turn)->notes, "%s", nothing->kind); /* the first failure stuck */
    return 0;
}

static const sf_type bad_type = SF_TYPE("test/bad", .handler = bad_calls, .attempts_max = 1);

static void a_call_that_breaks_a_rule_fails_with_a_sentence(void **state)
{
    static const struct {
        const char *kind, *reason;
    } calls[] = {{"outside", "the outside cannot be called"},
                 {"unknown", "'test/nobody' is not registered"},
                 {"id", "1 to 255 bytes"},
                 {"body", "without data"}};
    struct place *place = *state;
    sf_runtime *rt = open_bank(place);
    OK(sf_register(rt, &bad_type, place));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        OK(sf_send(rt, sf_addr("test/bad", "x"), calls[i].kind, SF_NONE));
        OK(sf_run_until_idle(rt));
        sf_view *view = NULL;
        OK(sf_view_open(rt, &view));
        const sf_message *dead = sf_view_dead(view, i);
        assert_non_null(dead);
        HAS(dead->reason, calls[i].reason);
        sf_view_close(view);
    }
    assert_string_equal(noted(&place->notes), "");
    OK(sf_runtime_close(rt));
}

/* A pause means it; the caller waits without losing an attempt, and others go on. */
static void who_calls_a_paused_actor_waits_for_it(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_bank(place);
    OK(sf_send(rt, sf_addr("test/account", "from"), "move", SF_OF((int64_t){100})));
    OK(sf_run_until_idle(rt));
    OK(sf_pause(rt, sf_addr("test/account", "from"), "an audit"));
    transfer_cents(rt, 30);
    assert_int_equal(cents_of(rt, "to"), INT64_MIN);
    for (uint64_t end = mono_ms() + 300; mono_ms() < end;) /* tried again a few times */
        OK(sf_step(rt, 0));
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_resume(rt, sf_addr("test/account", "from")));
    for (uint64_t end = mono_ms() + 10000; cents_of(rt, "to") != 30 && mono_ms() < end;)
        OK(sf_step(rt, 0));
    assert_int_equal(cents_of(rt, "from"), 70);
    assert_int_equal(cents_of(rt, "to"), 30);
    OK(sf_runtime_close(rt));
}

/* -- what is lent, and handlers that are left --------------------------------------------------------- */

static sf_turn *outer;
static jmp_buf back;

static int use_outer(sf_turn *turn)
{
    (void)turn;
    if (sf_is(sf_msg(turn), "jump"))
        longjmp(back, 1);
    sf_state(outer);
    return 0;
}

static int keep_pointers(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    const sf_message *first = sf_call(turn, sf_addr("test/account", "a"), "ask", SF_NONE);
    for (int i = 0; i < 2000; i++) { /* actors that nobody has met yet */
        char id[24];
        snprintf(id, sizeof id, "many%d", i);
        sf_call(turn, sf_addr("test/account", id), "move", SF_OF((int64_t){1}));
    }
    self->total = 7;
    return sf_is(first, "yes") && self == sf_state(turn) ? 0 : sf_fail(turn, "it moved");
}

static int jump_inside(sf_turn *turn)
{
    outer = turn;
    if (sf_is(sf_msg(turn), "keep"))
        return keep_pointers(turn);
    if (sf_is(sf_msg(turn), "use"))
        return (void)sf_call(turn, sf_addr("test/inner", "i"), "", SF_NONE), 0;
    if (setjmp(back) == 0)
        sf_call(turn, sf_addr("test/inner", "i"), "jump", SF_NONE);
    return 0;
}

static const sf_type inner_type = SF_TYPE("test/inner", .handler = use_outer, .attempts_max = 1);
static const sf_type outer_type = SF_TYPE("test/outer", .handler = jump_inside, .attempts_max = 1,
                                          .state_size = sizeof(struct counter));

static sf_runtime *open_outer(struct place *place)
{
    sf_runtime *rt = open_bank(place);
    OK(sf_register(rt, &inner_type, place));
    OK(sf_register(rt, &outer_type, place));
    return rt;
}

static void a_struct_that_was_lent_stays_where_it_is_across_calls(void **state)
{
    const sf_options small = SF_OPTIONS(.cache_bytes_max = 1);
    struct place *place = *state;
    sf_runtime *rt = place_open_with(place, &small);
    OK(sf_register(rt, &account_type, place));
    OK(sf_register(rt, &teller_type, place));
    OK(sf_register(rt, &outer_type, place));
    OK(sf_egress_register(rt, "moved", drop_records, &delivered));
    OK(sf_send(rt, sf_addr("test/outer", "o"), "keep", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 0);
    assert_int_equal(cents_of(rt, "many1999"), 1);
    OK(sf_runtime_close(rt));
}

static void fails_as(sf_runtime *rt, const char *kind, const char *reason)
{
    uint64_t before = stats_of(rt).dead_letters;
    OK(sf_send(rt, sf_addr("test/outer", "o"), kind, SF_NONE));
    OK(sf_run_until_idle(rt));
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const sf_message *dead = sf_view_dead(view, before);
    assert_non_null(dead);
    HAS(dead->reason, reason);
    sf_view_close(view);
    OK(sf_send(rt, sf_addr("test/account", "a"), "move", SF_OF((int64_t){1}))); /* all is well */
    OK(sf_run_until_idle(rt));
}

static void a_turn_that_waits_for_its_call_cannot_be_used(void **state)
{
    sf_runtime *rt = open_outer(*state);
    fails_as(rt, "use", "the turn that called is waiting");
    OK(sf_runtime_close(rt));
}

static void a_longjmp_out_of_a_call_dooms_the_turn_that_called(void **state)
{
    sf_runtime *rt = open_outer(*state);
    fails_as(rt, "jump", "left by longjmp");
    fails_as(rt, "jump", "left by longjmp");
    OK(sf_runtime_close(rt));
}

/* -- bounded ---------------------------------------------------------------------------------- */

enum { HEAVY = 1 << 20 };
static sf_value heavy_value = SF_VALUE("heavy");

/* "look" reads a struct, or with a body a value; "store" stores that value. */
static int run_heavy(sf_turn *turn)
{
    static const char zeroes[HEAVY];
    if (sf_is(sf_msg(turn), "store"))
        return sf_value_put(turn, &heavy_value, SF_BYTES(zeroes, sizeof zeroes));
    if (sf_msg(turn)->body.size)
        return sf_reply(turn, sf_value_get(turn, &heavy_value).data ? "there" : "absent", SF_NONE);
    return sf_state(turn) ? sf_reply(turn, "looked", SF_NONE) : -1;
}

/* Calls so many, with a body or without. */
static int call_many(sf_turn *turn)
{
    const uint64_t *count = sf_body(turn, sizeof *count);
    for (uint64_t i = 0; i < (*count & 0xffff); i++) {
        char id[24];
        snprintf(id, sizeof id, "%llu", (unsigned long long)i);
        sf_call(turn, sf_addr("test/heavy", id), "look", *count >> 16 ? sf_str("value") : SF_NONE);
    }
    return 0;
}

static void whom_a_turn_may_call_is_bounded_by_what_they_are(void **state)
{
    static const sf_type heavy = SF_TYPE("test/heavy", .handler = run_heavy, .state_size = HEAVY,
                                         .values = {&heavy_value});
    static const sf_type caller = SF_TYPE("test/caller", .handler = call_many);
    const uint64_t few = 20, many = 40, values = 1 << 16;
    sf_options options = *defaults();
    options.store_bytes_max = UINT64_C(1) << 30; /* 64 MiB a turn */
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &heavy, NULL));
    OK(sf_register(rt, &caller, NULL));
    OK(sf_send(rt, sf_addr("test/caller", "c"), "", SF_OF(few)));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_send(rt, sf_addr("test/caller", "c"), "", SF_OF(many))); /* 40 structs and their copies */
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 1);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    HAS(sf_view_dead(view, 0)->reason, "one turn sent and stored more than 67108864 bytes");
    sf_view_close(view);
    for (int i = 0; i < 30; i++) {
        char id[24];
        snprintf(id, sizeof id, "%d", i);
        OK(sf_send(rt, sf_addr("test/heavy", id), "store", SF_NONE));
        OK(sf_run_until_idle(rt));
    }
    OK(sf_runtime_close(rt));
    rt = place_open_with(*state, &options); /* the values are on disk */
    OK(sf_register(rt, &heavy, NULL));
    OK(sf_register(rt, &caller, NULL));
    const uint64_t ten = 10 | values, thirty = 30 | values;
    OK(sf_send(rt, sf_addr("test/caller", "c"), "", SF_OF(ten)));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_send(rt, sf_addr("test/caller", "c"), "", SF_OF(thirty))); /* and values read */
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 1);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_are_kept_with_the_turn_that_made_them),
        TEST(one_that_fails_undoes_all_of_them),
        TEST(the_first_reply_is_the_answer_and_none_is_an_empty_one),
        TEST(calls_in_a_circle_and_too_deep_are_rejected),
        TEST(a_call_that_breaks_a_rule_fails_with_a_sentence),
        TEST(who_calls_a_paused_actor_waits_for_it),
        TEST(a_struct_that_was_lent_stays_where_it_is_across_calls),
        TEST(a_turn_that_waits_for_its_call_cannot_be_used),
        TEST(a_longjmp_out_of_a_call_dooms_the_turn_that_called),
        TEST(whom_a_turn_may_call_is_bounded_by_what_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
