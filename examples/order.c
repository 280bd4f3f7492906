/* order.c - an order as one procedure: reserve, charge, pack, ship; and undo what was done when a step says no.
 *
 *     order [--db DIR] [--orders N]
 *
 * order_run() is read from top to bottom, though each SF_UNTIL ends a turn: what comes next may come days later, or
 * after the process was killed.  Start it again and it goes on; the orders have keys, so none is placed twice. */
#include <inttypes.h>
#include <poll.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STOCK = 5000, PRICE = 30, PACKING_MS = 20 };
enum { SOLD_OUT, DECLINED, SHIPPED, OUTCOMES };

static const char ORDER[] = "shop/order", STORE[] = "shop/store", BANK[] = "shop/bank";
static const char BOOKS[] = "shop/books";

SF_STRUCT(order, uint64_t card; uint32_t at, outcome;);
SF_STRUCT(store, uint64_t reserved, sold;);
SF_STRUCT(bank, int64_t taken;);
SF_STRUCT(books, uint64_t ended[3];);

/* -- the order ------------------------------------------------------------------------------------- */

static int order_run(sf_turn *turn)
{
    struct order *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);

    SF_BEGIN(self->at);
    self->card = *(const uint64_t *)sf_body(turn, sizeof self->card);
    self->outcome = SOLD_OUT;
    sf_tell(turn, sf_addr(STORE, "socks"), "reserve", SF_NONE);
    SF_UNTIL(turn, self->at, 1, sf_is(msg, "reserved") || sf_is(msg, "sold out"));
    if (sf_is(msg, "sold out"))
        break; /* to SF_END */

    self->outcome = DECLINED;
    sf_tell(turn, sf_addr(BANK, "ours"), "charge", SF_OF(self->card));
    SF_UNTIL(turn, self->at, 2, sf_is(msg, "charged") || sf_is(msg, "declined"));
    if (sf_is(msg, "declined")) { /* so what was reserved goes back */
        sf_tell(turn, sf_addr(STORE, "socks"), "release", SF_NONE);
        SF_UNTIL(turn, self->at, 3, sf_is(msg, "released"));
        break;
    }

    sf_timer_after(turn, ".packed", SF_NONE, PACKING_MS);
    SF_UNTIL(turn, self->at, 4, sf_is(msg, ".packed"));
    sf_tell(turn, sf_addr(STORE, "socks"), "ship", SF_NONE);
    self->outcome = SHIPPED;
    SF_END(turn, self->at);

    return sf_tell(turn, sf_addr(BOOKS, "all"), "ended", SF_OF(self->outcome));
}

/* -- whom it needs --------------------------------------------------------------------------------- */

static int store_reserve(sf_turn *turn)
{
    struct store *self = sf_state(turn);
    if (self->reserved + self->sold == STOCK)
        return sf_reply(turn, "sold out", SF_NONE);
    self->reserved++;
    return sf_reply(turn, "reserved", SF_NONE);
}

static int store_release(sf_turn *turn)
{
    struct store *self = sf_state(turn);
    self->reserved--;
    return sf_reply(turn, "released", SF_NONE);
}

static int store_ship(sf_turn *turn)
{
    struct store *self = sf_state(turn);
    self->reserved--;
    self->sold++;
    return 0;
}

static int bank_charge(sf_turn *turn)
{
    struct bank *self = sf_state(turn);
    const uint64_t *card = sf_body(turn, sizeof *card);
    if (*card % 7 == 0)
        return sf_reply(turn, "declined", SF_NONE);
    self->taken += PRICE;
    return sf_reply(turn, "charged", SF_NONE);
}

static int books_ended(sf_turn *turn)
{
    struct books *self = sf_state(turn);
    self->ended[*(const uint32_t *)sf_body(turn, sizeof(uint32_t)) % OUTCOMES]++;
    return 0;
}

static const sf_type order = SF_TYPE(ORDER, .handler = order_run, SF_STATE(order));
static const sf_type store = SF_TYPE(STORE,
    .on = {{"reserve", store_reserve}, {"release", store_release}, {"ship", store_ship}},
    SF_STATE(store));
static const sf_type bank = SF_TYPE(BANK, .on = {{"charge", bank_charge}}, SF_STATE(bank));
static const sf_type books = SF_TYPE(BOOKS, .on = {{"ended", books_ended}}, SF_STATE(books));

/* -- the program ----------------------------------------------------------------------------------- */

static int place_orders(sf_runtime *rt, uint64_t orders)
{
    for (uint64_t n = 1; n <= orders; n++) {
        char id[24];
        snprintf(id, sizeof id, "%" PRIu64, n);
        int64_t rc = sf_send_once(rt, sf_str(id), sf_addr(ORDER, id), "place", SF_OF(n));
        if (rc == SF_EAGAIN && (rc = sf_wait_room(rt, -1)) == 0)
            n--;
        if (rc < 0)
            return (int)rc;
    }
    return 0;
}

/* Prints how it stands when all have ended.  1: they have. */
static int report(sf_runtime *rt, uint64_t orders)
{
    sf_view *view = NULL;
    if (sf_view_open(rt, &view) < 0)
        return -1;
    const void *found = sf_struct(sf_view_state(view, sf_addr(BOOKS, "all")), sizeof(struct books));
    struct books sums = {{0}};
    if (found)
        memcpy(&sums, found, sizeof sums);
    int is_over = sums.ended[0] + sums.ended[1] + sums.ended[2] == orders;
    if (is_over) {
        struct store shelf = {0};
        struct bank till = {0};
        if ((found = sf_struct(sf_view_state(view, sf_addr(STORE, "socks")), sizeof shelf)))
            memcpy(&shelf, found, sizeof shelf);
        if ((found = sf_struct(sf_view_state(view, sf_addr(BANK, "ours")), sizeof till)))
            memcpy(&till, found, sizeof till);
        printf("shipped %" PRIu64 "\ndeclined %" PRIu64 "\nrefused %" PRIu64 "\nsold %" PRIu64
               "\nreserved %" PRIu64 "\ntaken %" PRId64 "\n",
               sums.ended[SHIPPED], sums.ended[DECLINED], sums.ended[SOLD_OUT], shelf.sold,
               shelf.reserved, till.taken);
    }
    sf_view_close(view);
    return is_over;
}

static int run(sf_runtime *rt, uint64_t orders)
{
    int rc = place_orders(rt, orders);
    if (rc == 0)
        rc = sf_run_until_idle(rt);
    while (rc == 0 && (rc = report(rt, orders)) == 0) {
        struct pollfd pollfd = {sf_fd(rt), POLLIN, 0}; /* what is packed by then */
        poll(&pollfd, 1, 1000);
        rc = sf_run_until_idle(rt);
    }
    return rc;
}

int main(int argc, char **argv)
{
    const char *dir = "order.db";
    uint64_t orders = 100;
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--db") == 0)
            dir = argv[i + 1];
        else if (strcmp(argv[i], "--orders") == 0)
            orders = strtoull(argv[i + 1], NULL, 10);
    sf_runtime *rt = NULL;
    int rc = sf_runtime_open(dir, NULL, &rt);
    const sf_type *types[] = {&order, &store, &bank, &books};
    for (int i = 0; rc == 0 && i < 4; i++)
        rc = sf_register(rt, types[i], NULL);
    if (rc == 0)
        rc = run(rt, orders);
    if (rc < 0)
        fprintf(stderr, "order: %s\n", sf_errmsg());
    return sf_runtime_close(rt) < 0 || rc < 0;
}
