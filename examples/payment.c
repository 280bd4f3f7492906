/* payment.c - a slow bank behind each order.
 *
 *     payment DELAY_MS [DIR] <orders: an id and an amount, one order a line
 *
 * The bank is asked on a thread of the library, when it is on disk that it will be asked.  While it is asked the
 * order's other messages wait, and so they find it paid or not.  After a crash nobody knows whether the bank was
 * asked: it is asked again, under the same key, by which a bank knows that it was. */
#include <inttypes.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIMIT = 100000 };

struct order { uint64_t amount, is_paid; };

/* Blocks, so it runs on a thread of its own; nothing of the actor may be touched here. */
static void charge(sf_async op, sf_bytes request, void *userdata)
{
    const long *delay_ms = userdata;
    const struct order *order = request.data;
    struct timespec pause = {*delay_ms / 1000, *delay_ms % 1000 * 1000000};
    nanosleep(&pause, NULL); /* think of a bank here */
    if (order->amount > LIMIT)
        sf_async_fail(op, "over the limit");
    else
        sf_async_done(op, SF_NONE);
}

static int ask_bank(sf_turn *turn, const struct order *order)
{
    sf_async_work(turn, charge, ".charged", SF_OF(*order));
    return sf_await(turn);
}

/* Whoever asks again, also after a crash, hears what became of it. */
static int pay(sf_turn *turn)
{
    struct order *self = sf_state(turn);
    const uint64_t *amount = sf_body(turn, sizeof *amount);
    if (self->is_paid)
        return sf_reply(turn, "paid", SF_NONE);
    self->amount = *amount;
    return ask_bank(turn, self);
}

static int charged(sf_turn *turn)
{
    struct order *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    if (msg->result == SF_EUNKNOWN)
        return ask_bank(turn, self);
    self->is_paid = msg->result == 0;
    return sf_reply(turn, self->is_paid ? "paid" : "declined", sf_str(msg->reason));
}

static const sf_type order_type = SF_TYPE("shop/order", .on = {{"pay", pay}, {".charged", charged}},
                                          .state_size = sizeof(struct order));

static int failed(void)
{
    fprintf(stderr, "payment: %s\n", sf_errmsg());
    return 1;
}

static int open_orders; /* asked about, and not answered */

static void tell(int result, const sf_message *reply, void *userdata)
{
    char *id = userdata;
    open_orders--;
    if (result < 0)
        printf("%s failed: %s\n", id, sf_errmsg());
    else
        printf("%s %s%s%.*s\n", id, reply->kind, reply->body.size ? ": " : "",
               (int)reply->body.size, (const char *)reply->body.data);
    free(id);
}

static int ask_for(sf_runtime *rt, const char *id, uint64_t amount)
{
    char *copy = strdup(id);
    if (!copy || sf_ask_then(rt, sf_addr("shop/order", id), "pay", SF_OF(amount), -1, tell, copy) < 0) {
        free(copy);
        return failed();
    }
    open_orders++;
    return 0;
}

/* All of them at once; they are answered as the bank does. */
static int pay_all(sf_runtime *rt)
{
    char id[100];
    uint64_t amount;
    int rc = 0;
    while (rc == 0 && scanf("%99s %" SCNu64, id, &amount) == 2)
        rc = ask_for(rt, id, amount);
    while (rc == 0 && open_orders) {
        struct timespec pause = {0, 1000000};
        rc = sf_run_until_idle(rt) < 0 ? failed() : 0;
        nanosleep(&pause, NULL);
    }
    return rc;
}

int main(int argc, char **argv)
{
    long delay_ms = argc > 1 ? strtol(argv[1], NULL, 10) : -1;
    if (delay_ms < 0 || delay_ms > 60000) {
        fputs("usage: payment DELAY_MS [DIR]\nDELAY_MS up to a minute\n", stderr);
        return 2;
    }
    sf_runtime *rt = NULL;
    if (sf_runtime_open(argc > 2 ? argv[2] : "payment.db", NULL, &rt) < 0)
        return failed();
    int rc = sf_register(rt, &order_type, &delay_ms) < 0 ? failed() : pay_all(rt);
    return sf_runtime_close(rt) < 0 || rc;
}
