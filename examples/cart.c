/* cart.c - shopping carts; what they reserved goes back when nobody checks out in time.
 *
 *     cart HOLD_MS [DIR] <commands
 *
 *     stock SKU COUNT      so many more are there
 *     add WHO SKU COUNT    into somebody's cart, if they are there
 *     checkout WHO
 *     show SKU             what is free, and what is reserved
 *     wait MS
 *
 *     cart ada --reserve--> stock socks --reserved | refused--> cart ada
 *     cart ada --HOLD_MS: .expired--> cart ada --release--> stock socks
 *
 * Each "reserved" sets the timer anew, and checking out cancels it.  One that was due already, and
 * waits, is not handled then: so a cart that was filled again is never emptied by a time before. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char CART[] = "shop/cart", STOCK[] = "shop/stock";

struct goods { char sku[24]; uint32_t count; };
struct stock { uint64_t free, reserved; };

static const sf_map lines = SF_MAP("lines"); /* by sku: uint32_t */

/* -- stock ----------------------------------------------------------------------------------- */

static int stock_add(sf_turn *turn)
{
    struct stock *self = sf_state(turn);
    const struct goods *goods = sf_body(turn, sizeof *goods);
    self->free += goods->count;
    return 0;
}

static int stock_reserve(sf_turn *turn)
{
    struct stock *self = sf_state(turn);
    const struct goods *goods = sf_body(turn, sizeof *goods);
    if (goods->count > self->free)
        return sf_reply(turn, "refused", SF_OF(*goods));
    self->free -= goods->count;
    self->reserved += goods->count;
    return sf_reply(turn, "reserved", SF_OF(*goods));
}

static int stock_ship(sf_turn *turn)
{
    struct stock *self = sf_state(turn);
    const struct goods *goods = sf_body(turn, sizeof *goods);
    if (goods->count > self->reserved)
        return sf_reject(turn, "%" PRIu32 " of %" PRIu64 " are to go", goods->count, self->reserved);
    self->reserved -= goods->count;
    return 0;
}

static int stock_release(sf_turn *turn)
{
    stock_add(turn);
    return stock_ship(turn); /* its refusal undoes this too */
}

static int stock_show(sf_turn *turn)
{
    const struct stock *self = sf_state(turn);
    return sf_reply(turn, "stock", SF_OF(*self));
}

static const sf_type stock = SF_TYPE(STOCK,
    .on = {{"add", stock_add}, {"reserve", stock_reserve}, {"ship", stock_ship},
           {"release", stock_release}, {"show", stock_show}},
    .state_size = sizeof(struct stock));

/* -- cart ------------------------------------------------------------------------------------ */

static int cart_add(sf_turn *turn)
{
    const struct goods *goods = sf_body(turn, sizeof *goods);
    return sf_tell(turn, sf_addr(STOCK, goods->sku), "reserve", SF_OF(*goods));
}

static int cart_reserved(sf_turn *turn)
{
    const uint64_t *hold_ms = sf_userdata(turn);
    const struct goods *goods = sf_body(turn, sizeof *goods);
    sf_bytes there = sf_map_get(turn, &lines, sf_str(goods->sku));
    uint32_t count = goods->count;
    if (there.size == sizeof count)
        count += *(const uint32_t *)there.data;
    sf_map_put(turn, &lines, sf_str(goods->sku), SF_OF(count));
    return sf_timer_after(turn, ".expired", SF_NONE, *hold_ms);
}

static int cart_refused(sf_turn *turn)
{
    const struct goods *goods = sf_body(turn, sizeof *goods);
    printf("not enough %s\n", goods->sku); /* to look at; an egress would tell the client */
    return 0;
}

/* Tells the stock what becomes of every line, and empties the cart. */
static uint64_t settle(sf_turn *turn, const char *what)
{
    sf_cursor *cursor = sf_map_scan(turn, &lines, NULL);
    uint64_t items = 0;
    for (const sf_entry *entry; (entry = sf_next(cursor));) {
        struct goods goods = {.count = *(const uint32_t *)entry->value.data};
        snprintf(goods.sku, sizeof goods.sku, "%.*s", (int)entry->key.size,
                 (const char *)entry->key.data);
        sf_tell(turn, sf_addr(STOCK, goods.sku), what, SF_OF(goods));
        items += goods.count;
    }
    sf_map_clear(turn, &lines);
    sf_timer_cancel(turn, ".expired", SF_NONE);
    return items;
}

static int cart_expired(sf_turn *turn)
{
    settle(turn, "release");
    return 0;
}

static int cart_checkout(sf_turn *turn)
{
    uint64_t items = settle(turn, "ship");
    return sf_reply(turn, items ? "ordered" : "empty", SF_OF(items));
}

static const sf_type cart = SF_TYPE(CART,
    .on = {{"add", cart_add}, {"reserved", cart_reserved}, {"refused", cart_refused},
           {".expired", cart_expired}, {"checkout", cart_checkout}},
    .maps = {&lines});

/* -- commands -------------------------------------------------------------------------------- */

static struct goods goods_of(const char *sku, unsigned count)
{
    struct goods goods = {.count = count};
    snprintf(goods.sku, sizeof goods.sku, "%s", sku);
    return goods;
}

static int show(sf_runtime *rt, const char *sku)
{
    struct stock stored;
    sf_message *reply = NULL;
    int rc = sf_ask(rt, sf_addr(STOCK, sku), "show", SF_NONE, 5000, &reply);
    if (rc < 0)
        return rc;
    memcpy(&stored, reply->body.data, sizeof stored);
    printf("%s: %" PRIu64 " free, %" PRIu64 " reserved\n", sku, stored.free, stored.reserved);
    sf_message_free(reply);
    return 0;
}

static int checkout(sf_runtime *rt, const char *who)
{
    uint64_t items;
    sf_message *reply = NULL;
    int rc = sf_ask(rt, sf_addr(CART, who), "checkout", SF_NONE, 5000, &reply);
    if (rc < 0)
        return rc;
    memcpy(&items, reply->body.data, sizeof items);
    printf("%s: %s, %" PRIu64 "\n", who, reply->kind, items);
    sf_message_free(reply);
    return sf_run_until_idle(rt);
}

static int send(sf_runtime *rt, sf_address to, struct goods goods)
{
    int64_t ticket = sf_send(rt, to, "add", SF_OF(goods));
    return ticket < 0 ? (int)ticket : sf_run_until_idle(rt);
}

/* What becomes due meanwhile is done by the library's own thread. */
static int wait_ms(sf_runtime *rt, unsigned ms)
{
    struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    int rc = sf_runtime_start(rt);
    if (rc < 0)
        return rc;
    nanosleep(&pause, NULL);
    return sf_runtime_stop(rt);
}

static int obey(sf_runtime *rt, const char *line)
{
    char a[24], b[24];
    unsigned count;
    if (sscanf(line, "stock %23s %u", a, &count) == 2)
        return send(rt, sf_addr(STOCK, a), goods_of(a, count));
    if (sscanf(line, "add %23s %23s %u", a, b, &count) == 3)
        return send(rt, sf_addr(CART, a), goods_of(b, count));
    if (sscanf(line, "checkout %23s", a) == 1)
        return checkout(rt, a);
    if (sscanf(line, "show %23s", a) == 1)
        return show(rt, a);
    if (sscanf(line, "wait %u", &count) == 1)
        return wait_ms(rt, count);
    printf("what? %s", line);
    return 0;
}

static int obey_all(sf_runtime *rt)
{
    char line[200];
    int rc = 0;
    while (rc == 0 && fgets(line, sizeof line, stdin))
        rc = obey(rt, line);
    return rc;
}

int main(int argc, char **argv)
{
    sf_runtime *rt = NULL;
    uint64_t hold_ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (!hold_ms) {
        fprintf(stderr, "usage: cart HOLD_MS [DIR] <commands\n");
        return 2;
    }
    int rc = sf_runtime_open(argc > 2 ? argv[2] : "cart.db", NULL, &rt);
    if (rc == 0)
        rc = sf_register(rt, &stock, NULL);
    if (rc == 0)
        rc = sf_register(rt, &cart, &hold_ms);
    if (rc == 0)
        rc = obey_all(rt);
    if (rc < 0)
        fprintf(stderr, "cart: %s\n", sf_errmsg());
    return sf_runtime_close(rt) < 0 || rc < 0;
}
