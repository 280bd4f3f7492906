/* format-2.c - how format-2.mdb was made: with the library of commit c272f7e, the last of format 2.
 *
 *     git worktree add --detach old c272f7e && make -C old build/libstatefun.a
 *     cc -Iold/include format-2.c old/build/libstatefun.a -llmdb -lmsgpackc -lxxhash -lpthread -o make
 *     ./make DIR && cp DIR/data.mdb format-2.mdb
 *
 * Not built with the tests; test/integration/test_formats.c says what is in it, row for row. */
#include <statefun.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CARTS = 200, CHANGED = 20, EMITTED = 30, ACKED = 12 };

struct cart {
    uint64_t total, orders;
};

static const sf_value note = SF_VALUE("note");

/* "add" adds; "tell" sends to the type that is gone later; "emit" emits; "bad" is rejected; else it fails. */
static int cart(sf_turn *turn)
{
    struct cart *cart = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    uint64_t number = 0;
    if (msg->body.size == sizeof number)
        memcpy(&number, msg->body.data, sizeof number);
    cart->orders++;
    cart->total += number;
    if (sf_is(msg, "tell"))
        return sf_tell(turn, sf_addr("shop/gone", "later"), "hello", msg->body);
    if (sf_is(msg, "emit"))
        return sf_emit(turn, number % 2 ? "mail" : "alarm", "sent", msg->body);
    if (sf_is(msg, "bad"))
        return sf_reject(turn, "cart %s takes no %d", sf_self(turn).id, (int)number);
    if (sf_is(msg, "add"))
        return sf_value_put(turn, &note, SF_OF("noted"));
    return sf_fail(turn, "not today");
}

static int gone(sf_turn *turn)
{
    return sf_msg(turn) ? 0 : -1;
}

static const sf_type cart_type = SF_TYPE("shop/cart", .handler = cart, .state_version = 3,
                                         .state_size = sizeof(struct cart), .values = {&note},
                                         .backoff_ms = 3600000, .backoff_ms_max = 3600000);
static const sf_type gone_type = SF_TYPE("shop/gone", .handler = gone);

static void must(int64_t result)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s\n", sf_errmsg());
    exit(1);
}

static void send(sf_runtime *rt, const char *id, const char *kind, uint64_t number)
{
    must(sf_send(rt, sf_addr("shop/cart", id), kind, SF_OF(number)));
}

static sf_runtime *begin(const char *dir, int with_gone)
{
    sf_runtime *rt;
    sf_options options =
        SF_OPTIONS(.commit_inline = 1, .log_records_max = 128, .store_bytes_max = 64 << 20);
    must(sf_runtime_open(dir, &options, &rt));
    must(sf_register(rt, &cart_type, NULL));
    if (with_gone)
        must(sf_register(rt, &gone_type, NULL));
    return rt;
}

static int later(const sf_message *const *records, size_t count, void *userdata)
{
    return records && count && userdata ? 1 : 0; /* all will be acknowledged, or never */
}

int main(int argc, char **argv)
{
    char id[16];
    sf_source *source;
    sf_runtime *rt = begin(argc > 1 ? argv[1] : "db", 1);
    for (uint64_t i = 0; i < CARTS; i++) {
        snprintf(id, sizeof id, "%03d", (int)i);
        send(rt, id, "add", i);
        if (i % 50 == 49)
            must(sf_run_until_idle(rt));
    }
    for (int i = 0; i < 50; i++)
        must(sf_step(rt, 0)); /* the log is swept while nothing else is to do */
    for (uint64_t i = 1; i <= 3; i++)
        send(rt, "teller", "tell", i);
    must(sf_step(rt, 3)); /* what they tell waits */
    must(sf_runtime_close(rt));

    rt = begin(argv[1], 0);
    must(sf_egress_register(rt, "mail", later, NULL));
    must(sf_egress_register(rt, "alarm", later, NULL));
    for (uint64_t i = 0; i < CHANGED; i++) { /* these are in the log */
        snprintf(id, sizeof id, "%03d", (int)i);
        send(rt, id, "add", 1000);
    }
    for (uint64_t i = 1; i <= EMITTED; i++)
        send(rt, "emitter", "emit", i);
    for (uint64_t i = 1; i <= 4; i++)
        send(rt, "judge", "bad", i);
    must(sf_source_open(rt, "orders", 3, &source));
    must(sf_source_send(source, sf_addr("shop/cart", "sourced"), "add", SF_OF((uint64_t){5})));
    must(sf_source_advance(source, 41));
    must(sf_run_until_idle(rt));
    must(sf_egress_ack(rt, "mail", ACKED));
    send(rt, "slow", "whatever", 7); /* fails, and waits an hour */
    send(rt, "slow", "add", 8);      /* waits behind it */
    must(sf_run_until_idle(rt));
    sf_source_close(source);
    must(sf_runtime_close(rt));
    return 0;
}
