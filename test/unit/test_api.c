/* test_api.c - every public function refuses what breaks a rule with a sentence about just that.
 *
 * Before each call the sentence is that of another failure, so that a stale one is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/support.h"

static const char STALE[] = "sf_fd(): the runtime is NULL";

static void make_stale(void)
{
    assert_int_equal(sf_fd(NULL), SF_EINVAL);
    assert_string_equal(sf_errmsg(), STALE);
}

/* The call fails with the code, and the sentence has that part. */
#define BAD(call, code, part)                                                                      \
    do {                                                                                           \
        make_stale();                                                                              \
        REFUSED((call), (code));                                                                   \
        assert_string_not_equal(sf_errmsg(), STALE);                                               \
        SAYS(part);                                                                                \
    } while (0)

/* -- from outside ------------------------------------------------------------------------------- */

static void on_done(int result, int64_t ticket, void *userdata)
{
    (void)result, (void)ticket, (void)userdata;
}

static void on_answer(int result, const sf_message *reply, void *userdata)
{
    (void)result, (void)reply, (void)userdata;
}

static int on_records(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records, (void)userdata;
    return (int)count;
}

static void no_runtime_is_said_by_each_function(void **state)
{
    sf_message *reply;
    sf_source *source;
    sf_view *view;
    sf_stats stats = {.size = sizeof stats};
    sf_address to = sf_addr("test/counter", "a");
    (void)state;
    BAD(sf_register(NULL, &counter_type, NULL), SF_EINVAL, "sf_register");
    BAD(sf_send(NULL, to, "x", SF_NONE), SF_EINVAL, "sf_send");
    BAD(sf_durable(NULL), SF_EINVAL, "sf_durable");
    BAD(sf_wait(NULL, 0, 0), SF_EINVAL, "sf_wait");
    BAD(sf_wait_room(NULL, 0), SF_EINVAL, "sf_wait_room");
    BAD(sf_then(NULL, 1, on_done, NULL), SF_EINVAL, "sf_then");
    BAD(sf_ask(NULL, to, "x", SF_NONE, 0, &reply), SF_EINVAL, "sf_ask");
    BAD(sf_ask_then(NULL, to, "x", SF_NONE, 0, on_answer, NULL), SF_EINVAL, "sf_ask_then");
    BAD(sf_then_cancel(NULL, &stats), SF_EINVAL, "sf_then_cancel");
    BAD(sf_source_open(NULL, "s", 0, &source), SF_EINVAL, "sf_source_open");
    BAD(sf_source_send(NULL, to, "x", SF_NONE), SF_EINVAL, "sf_source_send");
    BAD(sf_source_advance(NULL, 1), SF_EINVAL, "sf_source_advance");
    BAD(sf_egress_register(NULL, "e", on_records, NULL), SF_EINVAL, "sf_egress_register");
    BAD(sf_egress_ack(NULL, "e", 1), SF_EINVAL, "sf_egress_ack");
    BAD(sf_timeout_ms(NULL), SF_EINVAL, "sf_timeout_ms");
    BAD(sf_step(NULL, 0), SF_EINVAL, "sf_step");
    BAD(sf_run_until_idle(NULL), SF_EINVAL, "sf_run_until_idle");
    BAD(sf_run_for(NULL, 0), SF_EINVAL, "sf_run_for");
    BAD(sf_runtime_start(NULL), SF_EINVAL, "sf_runtime_start");
    BAD(sf_runtime_stop(NULL), SF_EINVAL, "sf_runtime_stop");
    BAD(sf_stats_get(NULL, &stats), SF_EINVAL, "sf_stats_get");
    BAD(sf_view_open(NULL, &view), SF_EINVAL, "sf_view_open");
    BAD(sf_view_error(NULL), SF_EINVAL, "view");
    BAD(sf_cursor_error(NULL), SF_EINVAL, "cursor");
    BAD(sf_cursor_error(sf_view_actors(NULL, "test/counter")), SF_EINVAL, "view");
}

static void what_breaks_a_rule_from_outside_is_named(void **state)
{
    struct place *place = *state;
    static char body[2000], kind[300], id[300], name[400];
    sf_options options = SF_OPTIONS(.payload_max = 1000, .store_bytes_max = 1 << 28);
    sf_runtime *rt = place_open_with(place, &options), *other = NULL;
    sf_message *reply = NULL;
    sf_source *source = NULL;
    sf_address to = sf_addr("test/counter", "a");
    memset(kind, 'k', sizeof kind - 1);
    memset(id, 'i', sizeof id - 1);
    memset(name, 'n', sizeof name - 1);
    OK(sf_register(rt, &counter_type, NULL));
    BAD(sf_runtime_open(NULL, NULL, &other), SF_EINVAL, "directory");
    BAD(sf_runtime_open("", NULL, &other), SF_EINVAL, "directory");
    BAD(sf_runtime_open(place->db, NULL, NULL), SF_EINVAL, "runtime");
    BAD(sf_runtime_open(place->db, NULL, &other), SF_ELOCKED, place->db);
    BAD(sf_send(rt, sf_addr(NULL, "a"), "x", SF_NONE), SF_EINVAL, "type");
    BAD(sf_send(rt, sf_addr("nothing", "a"), "x", SF_NONE), SF_EINVAL, "namespace/name");
    BAD(sf_send(rt, sf_addr("test/nobody", "a"), "x", SF_NONE), SF_ENOTFOUND, "test/nobody");
    BAD(sf_send(rt, sf_addr("test/counter", ""), "x", SF_NONE), SF_EINVAL, "id");
    BAD(sf_send(rt, sf_addr("test/counter", NULL), "x", SF_NONE), SF_EINVAL, "id");
    BAD(sf_send(rt, sf_addr("test/counter", id), "x", SF_NONE), SF_EINVAL, "id");
    BAD(sf_send(rt, to, kind, SF_NONE), SF_EINVAL, "kind");
    BAD(sf_send(rt, to, "x", SF_OF(body)), SF_EINVAL, "payload_max");
    BAD(sf_send(rt, to, "x", SF_BYTES(NULL, 7)), SF_EINVAL, "7 bytes");
    BAD(sf_wait(rt, 99, 0), SF_EINVAL, "ticket 99");
    BAD(sf_then(rt, 99, on_done, NULL), SF_EINVAL, "ticket 99");
    BAD(sf_then(rt, 0, on_done, NULL), SF_EINVAL, "ticket");
    BAD(sf_then(rt, 1, NULL, NULL), SF_EINVAL, "callback");
    BAD(sf_ask(rt, to, "get", SF_NONE, 0, NULL), SF_EINVAL, "reply");
    BAD(sf_ask(rt, sf_addr("test/nobody", "a"), "x", SF_NONE, 0, &reply), SF_ENOTFOUND,
        "test/nobody");
    BAD(sf_ask_then(rt, to, "x", SF_NONE, 0, NULL, NULL), SF_EINVAL, "callback");
    BAD(sf_ask_then(rt, to, kind, SF_NONE, 0, on_answer, NULL), SF_EINVAL, "kind");
    BAD(sf_then_cancel(rt, NULL), SF_EINVAL, "userdata");
    BAD(sf_source_open(rt, NULL, 0, &source), SF_EINVAL, "name of a source");
    BAD(sf_source_open(rt, "", 0, &source), SF_EINVAL, "name of a source");
    BAD(sf_source_open(rt, name, 0, &source), SF_EINVAL, "name of a source");
    BAD(sf_source_open(rt, "s", 0, NULL), SF_EINVAL, "source");
    OK(sf_source_open(rt, "s", 0, &source));
    BAD(sf_source_open(rt, "s", 0, &source), SF_EBUSY, "'s'");
    BAD(sf_runtime_close(rt), SF_EBUSY, "source");
    BAD(sf_source_send(source, sf_addr("test/nobody", "a"), "x", SF_NONE), SF_ENOTFOUND,
        "test/nobody");
    BAD(sf_source_advance(source, 1), SF_ENOTFOUND, "test/nobody");
    OK(sf_source_advance(source, 5));
    BAD(sf_source_advance(source, 5), SF_EINVAL, "position 5");
    sf_source_close(source);
    BAD(sf_egress_register(rt, NULL, on_records, NULL), SF_EINVAL, "name of an egress");
    BAD(sf_egress_register(rt, name, on_records, NULL), SF_EINVAL, "name of an egress");
    BAD(sf_egress_register(rt, "e", NULL, NULL), SF_EINVAL, "callback");
    BAD(sf_egress_ack(rt, "nobody", 1), SF_ENOTFOUND, "nobody");
    BAD(sf_egress_ack(rt, NULL, 1), SF_EINVAL, "name of an egress");
    OK(sf_egress_register(rt, "e", on_records, NULL));
    BAD(sf_egress_ack(rt, "e", 1), SF_EINVAL, "'e'");
    BAD(sf_view_open(rt, NULL), SF_EINVAL, "view");
    BAD(sf_stats_get(rt, NULL), SF_EINVAL, "sf_stats");
    OK(sf_runtime_start(rt));
    BAD(sf_runtime_start(rt), SF_EBUSY, "background");
    BAD(sf_step(rt, 0), SF_EBUSY, "background");
    OK(sf_runtime_stop(rt));
    OK(sf_runtime_close(rt));
}

/* -- in a turn ---------------------------------------------------------------------------------- */

static const sf_value listed = SF_VALUE("listed"), unlisted = SF_VALUE("unlisted");

/* What one turn did: its result, and the sentences after the call and after a later one. */
struct seen {
    int64_t result;
    char sentence[300], later[300];
    int later_result;
};

struct inside {
    const char *name;
    int64_t (*call)(sf_turn *turn);
    const char *part;
};

static char large[2000], too_long[300];

static int64_t put_unlisted(sf_turn *turn) { return sf_value_put(turn, &unlisted, sf_str("x")); }
static int64_t put_null(sf_turn *turn) { return sf_value_put(turn, NULL, sf_str("x")); }
static int64_t put_nothing(sf_turn *turn) { return sf_value_put(turn, &listed, SF_NONE); }
static int64_t put_large(sf_turn *turn) { return sf_value_put(turn, &listed, SF_OF(large)); }
static int64_t del_unlisted(sf_turn *turn) { return sf_value_del(turn, &unlisted); }
static int64_t del_null(sf_turn *turn) { return sf_value_del(turn, NULL); }
static int64_t get_null(sf_turn *turn) { return sf_value_get(turn, NULL).data ? 0 : SF_EINVAL; }
static int64_t get_unlisted(sf_turn *turn)
{
    return sf_value_get(turn, &unlisted).data ? 0 : SF_EINVAL;
}
static int64_t body_of_another_size(sf_turn *turn)
{
    return sf_body(turn, 77) ? SF_EINVAL : 0;
}
static int64_t tell_nobody(sf_turn *turn)
{
    return sf_tell(turn, sf_addr("test/nobody", "a"), "x", SF_NONE);
}
static int64_t tell_without_id(sf_turn *turn)
{
    return sf_tell(turn, sf_addr("test/counter", ""), "x", SF_NONE);
}
static int64_t tell_long_kind(sf_turn *turn)
{
    return sf_tell(turn, sf_self(turn), too_long, SF_NONE);
}
static int64_t tell_large(sf_turn *turn) { return sf_tell(turn, sf_self(turn), "x", SF_OF(large)); }
static int64_t reply_large(sf_turn *turn) { return sf_reply(turn, "x", SF_OF(large)); }
static int64_t tell_no_asker(sf_turn *turn)
{
    return sf_tell(turn, (sf_address){NULL, {"abc", 3}}, "x", SF_NONE);
}
static int64_t emit_nowhere(sf_turn *turn) { return sf_emit(turn, "nowhere", "x", SF_NONE); }
static int64_t emit_null(sf_turn *turn) { return sf_emit(turn, NULL, "x", SF_NONE); }
static int64_t emit_large(sf_turn *turn) { return sf_emit(turn, "nowhere", "x", SF_OF(large)); }
static int64_t load_nonsense(sf_turn *turn)
{
    return sf_addr_load(turn, sf_str("\377nonsense")).type ? 0 : SF_EINVAL;
}
static int64_t load_nothing(sf_turn *turn)
{
    return sf_addr_load(turn, SF_NONE).type ? 0 : SF_EINVAL;
}
static int64_t save_long_id(sf_turn *turn)
{
    sf_address address = {"test/counter", {large, 256}};
    return sf_addr_save(turn, address).data ? 0 : SF_EINVAL;
}
static int64_t fail_it(sf_turn *turn) { return sf_fail(turn, "for %s", "a reason"); }
static int64_t reject_it(sf_turn *turn) { return sf_reject(turn, "for %s", "a reason"); }

static const struct inside insides[] = {
    {"put_unlisted", put_unlisted, "'unlisted'"},
    {"put_null", put_null, "(null)"},
    {"put_nothing", put_nothing, "sf_value_del"},
    {"put_large", put_large, "payload_max"},
    {"del_unlisted", del_unlisted, "'unlisted'"},
    {"del_null", del_null, "(null)"},
    {"get_null", get_null, "(null)"},
    {"get_unlisted", get_unlisted, "'unlisted'"},
    {"body_of_another_size", body_of_another_size, "not 77"},
    {"tell_nobody", tell_nobody, "test/nobody"},
    {"tell_without_id", tell_without_id, "id"},
    {"tell_long_kind", tell_long_kind, "kind"},
    {"tell_large", tell_large, "payload_max"},
    {"reply_large", reply_large, "payload_max"},
    {"tell_no_asker", tell_no_asker, "asker"},
    {"emit_nowhere", emit_nowhere, "nowhere"},
    {"emit_null", emit_null, "egress"},
    {"emit_large", emit_large, "payload_max"},
    {"load_nonsense", load_nonsense, "saved address"},
    {"load_nothing", load_nothing, "saved address"},
    {"save_long_id", save_long_id, "address"},
    {"fail_it", fail_it, "for a reason"},
    {"reject_it", reject_it, "for a reason"},
};

enum { INSIDES = sizeof insides / sizeof insides[0] };

static int break_a_rule(sf_turn *turn)
{
    struct seen *seen = sf_userdata(turn);
    uint64_t i = *(const uint64_t *)sf_body(turn, sizeof i);
    (void)!sf_fd(NULL); /* stale */
    seen[i].result = insides[i].call(turn);
    snprintf(seen[i].sentence, sizeof seen[i].sentence, "%s", sf_errmsg());
    (void)!sf_fd(NULL);
    seen[i].later_result = sf_tell(turn, sf_self(turn), "x", SF_NONE);
    snprintf(seen[i].later, sizeof seen[i].later, "%s", sf_errmsg());
    return 0;
}

static const sf_type breaker = SF_TYPE("test/breaker", .handler = break_a_rule, .attempts_max = 1,
                                       .values = {&listed});

static void what_breaks_a_rule_in_a_turn_is_named_at_once_and_sticks(void **state)
{
    static struct seen seen[INSIDES];
    sf_options options = SF_OPTIONS(.payload_max = 1000, .store_bytes_max = 1 << 28);
    sf_runtime *rt = place_open_with(*state, &options);
    memset(too_long, 'k', sizeof too_long - 1);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &breaker, seen));
    for (uint64_t i = 0; i < INSIDES; i++)
        OK(sf_send(rt, sf_addr("test/breaker", "b"), "x", SF_OF(i)));
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    for (int i = 0; i < INSIDES; i++) {
        if (seen[i].result >= 0 || seen[i].later_result >= 0 ||
            !strstr(seen[i].sentence, insides[i].part) || !strstr(seen[i].later, insides[i].part))
            fail_msg("%s: %d '%s', then %d '%s'", insides[i].name, (int)seen[i].result,
                     seen[i].sentence, seen[i].later_result, seen[i].later);
        HAS(sf_view_dead(view, (uint64_t)i)->reason, insides[i].part);
    }
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

/* Its object is there, and it is no turn any more. */
static sf_turn *kept;

static int keep_turn(sf_turn *turn)
{
    kept = turn;
    return 0;
}

static const sf_type keeper = SF_TYPE("test/keeper", .handler = keep_turn);

static void a_turn_that_is_over_or_null_is_refused(void **state)
{
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &keeper, NULL));
    OK(sf_send(rt, sf_addr("test/keeper", "k"), "x", SF_NONE));
    drive_until_quiet(rt);
    for (int i = 0; i < 2; i++) {
        sf_turn *turn = i ? kept : NULL;
        BAD(sf_tell(turn, sf_addr("test/keeper", "k"), "x", SF_NONE), SF_EINVAL, "turn");
        BAD(sf_reply(turn, "x", SF_NONE), SF_EINVAL, "turn");
        BAD(sf_emit(turn, "e", "x", SF_NONE), SF_EINVAL, "turn");
        BAD(sf_fail(turn, "no"), SF_EINVAL, "turn");
        BAD(sf_reject(turn, "no"), SF_EINVAL, "turn");
        BAD(sf_value_put(turn, &listed, sf_str("x")), SF_EINVAL, "turn");
        BAD(sf_value_del(turn, &listed), SF_EINVAL, "turn");
        assert_null(sf_state(turn));
        assert_null(sf_msg(turn));
        assert_null(sf_value_get(turn, &listed).data);
        assert_null(sf_addr_save(turn, sf_addr("test/keeper", "k")).data);
    }
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_runtime_is_said_by_each_function),
        TEST(what_breaks_a_rule_from_outside_is_named),
        TEST(what_breaks_a_rule_in_a_turn_is_named_at_once_and_sticks),
        TEST(a_turn_that_is_over_or_null_is_refused),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
