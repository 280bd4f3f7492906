/* transfer.c - money goes from one account to another, twice: in one turn, and as a saga.
 *
 *     transfer [COUNT [DIR]]
 *
 * By calls nobody ever sees money under way: the accounts' turns are part of the teller's, and all
 * three are kept or undone together.  By messages each step is a turn of its own.  That is for
 * steps that take long, but in between the money is nowhere, and who cannot go on must go back.
 *
 * While they run it looks at what is on disk, as anybody could, and tells the lowest sum it saw. */
#include <inttypes.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>

enum { ACCOUNTS = 10, OPENING_CENTS = 1000 };
static const char ACCOUNT[] = "bank/account";

struct account { int64_t cents; uint64_t is_open; };
struct order { char from[8], to[8]; int64_t cents; };

/* -- accounts: a "no" is an answer, not a failure ---------------------------------------------- */

static int account_open(sf_turn *turn)
{
    struct account *self = sf_state(turn);
    if (!self->is_open)
        self->cents = OPENING_CENTS;
    self->is_open = 1;
    return 0;
}

static int account_withdraw(sf_turn *turn)
{
    struct account *self = sf_state(turn);
    const struct order *order = sf_body(turn, sizeof *order);
    if (self->cents < order->cents)
        return sf_reply(turn, "refused", SF_OF(*order));
    self->cents -= order->cents;
    return sf_reply(turn, "withdrawn", SF_OF(*order));
}

static int account_deposit(sf_turn *turn)
{
    struct account *self = sf_state(turn);
    const struct order *order = sf_body(turn, sizeof *order);
    if (!self->is_open)
        return sf_reply(turn, "returned", SF_OF(*order)); /* there is no such account */
    self->cents += order->cents;
    return sf_reply(turn, "deposited", SF_OF(*order));
}

/* -- in one turn ------------------------------------------------------------------------------- */

static int teller_transfer(sf_turn *turn)
{
    const struct order *order = sf_body(turn, sizeof *order);
    sf_address from = sf_addr(ACCOUNT, order->from), to = sf_addr(ACCOUNT, order->to);
    if (sf_is(sf_call(turn, from, "withdraw", SF_OF(*order)), "refused"))
        return 0;
    if (sf_is(sf_call(turn, to, "deposit", SF_OF(*order)), "returned"))
        sf_call(turn, from, "deposit", SF_OF(*order));
    return 0; /* what failed in any of them, a lack of memory, say, has undone them all */
}

/* -- as a saga: the order travels with each message, so the courier keeps nothing -------------- */

static int courier_transfer(sf_turn *turn)
{
    const struct order *order = sf_body(turn, sizeof *order);
    return sf_tell(turn, sf_addr(ACCOUNT, order->from), "withdraw", SF_OF(*order));
}

static int courier_withdrawn(sf_turn *turn)
{
    const struct order *order = sf_body(turn, sizeof *order);
    return sf_tell(turn, sf_addr(ACCOUNT, order->to), "deposit", SF_OF(*order));
}

static int courier_returned(sf_turn *turn) /* back to where it came from */
{
    const struct order *order = sf_body(turn, sizeof *order);
    return sf_tell(turn, sf_addr(ACCOUNT, order->from), "deposit", SF_OF(*order));
}

static int it_is_over(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static const sf_type account =
    SF_TYPE(ACCOUNT, .state_size = sizeof(struct account),
            .on = {{"open", account_open},
                   {"withdraw", account_withdraw},
                   {"deposit", account_deposit}});
static const sf_type teller = SF_TYPE("bank/teller", .on = {{"transfer", teller_transfer}});
static const sf_type courier =
    SF_TYPE("bank/courier",
            .on = {{"transfer", courier_transfer},
                   {"withdrawn", courier_withdrawn},
                   {"returned", courier_returned},
                   {"refused", it_is_over},
                   {"deposited", it_is_over}});

/* -- around them ------------------------------------------------------------------------------- */

static int64_t check(int64_t rc)
{
    if (rc < 0) {
        fprintf(stderr, "transfer: %s\n", sf_errmsg());
        exit(1);
    }
    return rc;
}

/* All accounts as of one commit. */
static int64_t sum_on_disk(sf_runtime *rt)
{
    sf_view *view = NULL;
    int64_t sum = 0;
    check(sf_view_open(rt, &view));
    sf_cursor *accounts = sf_view_actors(view, ACCOUNT);
    for (const sf_entry *entry; (entry = sf_next(accounts));)
        sum += ((const struct account *)entry->value.data)->cents;
    check(sf_cursor_error(accounts));
    sf_view_close(view);
    return sum;
}

static void open_accounts(sf_runtime *rt)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        check(sf_send(rt, sf_addr(ACCOUNT, id), "open", SF_NONE));
    }
    check(sf_run_until_idle(rt));
}

/* One in eleven goes to an account that does not exist. */
static void transfer(sf_runtime *rt, const char *who, const char *how, long count)
{
    int64_t lowest = ACCOUNTS * OPENING_CENTS, sum;
    for (long i = 0; i < count; i++) {
        struct order order = {.cents = 1 + rand() % 300};
        snprintf(order.from, sizeof order.from, "%d", rand() % ACCOUNTS);
        snprintf(order.to, sizeof order.to, "%d", rand() % (ACCOUNTS + 1));
        check(sf_send(rt, sf_addr(who, "1"), "transfer", SF_OF(order)));
        check(sf_step(rt, 2)); /* few turns a step, so that there is something to see in between */
        lowest = (sum = sum_on_disk(rt)) < lowest ? sum : lowest;
    }
    check(sf_run_until_idle(rt));
    printf("%s: lowest sum %" PRId64 ", in the end %" PRId64 "\n", how, lowest, sum_on_disk(rt));
}

int main(int argc, char **argv)
{
    sf_options options = SF_OPTIONS(.commit_inline = 1);
    sf_runtime *rt = NULL;
    long count = argc > 1 ? atol(argv[1]) : 1000;
    check(sf_runtime_open(argc > 2 ? argv[2] : "transfer.db", &options, &rt));
    check(sf_register(rt, &account, NULL));
    check(sf_register(rt, &teller, NULL));
    check(sf_register(rt, &courier, NULL));
    open_accounts(rt); /* and what an earlier run left under way comes to its end */
    printf("at first: %" PRId64 "\n", sum_on_disk(rt));
    fflush(stdout);
    transfer(rt, "bank/teller", "by calls", count);
    transfer(rt, "bank/courier", "by messages", count);
    check(sf_runtime_close(rt));
    return 0;
}
