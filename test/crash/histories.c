/* histories.c - transactions by sf_call() under kill -9, and a judge of what was seen.
 *
 *     histories [--kills N] [--seed S] [--dir DIR] [--plant BUG]
 *
 * Clients ask tellers for transactions: each appends its number to some lists and reads others, all
 * in one turn by calls, and moves cents from the first list that it appends to to the second.  The
 * process is killed and started again.  In the end every answer must fit one order of all
 * transactions that keeps to the clock (support/history.h), and no cent is gone.
 *
 * On the way tellers fail after half of their calls and are tried again, and call each other.
 *
 * The first violation ends it with a sentence and exit status 1; the directory is kept.  --plant
 * puts in a bug that must be found: torn (a transaction is two turns), stale (a read misses its last
 * number), lost (an append is forgotten), old-copy (a restart finds an older database). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "statefun.h"
#include "support/history.h"
#include "support/storm.h"

enum {
    TXNS = 4000, /* of one history */
    CLIENTS = 4,
    OPEN_LISTS = 6,      /* that transactions use at a time */
    LIST_FULL = 32,      /* appends that were asked for; then another takes its place */
    LISTS = TXNS * 2 / LIST_FULL * 4 + OPEN_LISTS,
    TELLERS = 3,
    KILLS_EACH = 10, /* of one history, */
    TXNS_LAST = 500, /* and so many transactions after them */
    HANG_MS = 120000
};

/* Shared by all processes; survives them. */
struct shared {
    struct verdict verdict;
    _Atomic uint32_t asked, clock, next_list;
    uint32_t limit; /* so many may be asked for */
    _Atomic uint32_t open[OPEN_LISTS], appends[LISTS];
    struct history_txn txns[TXNS];
    struct history_list lists[LISTS];
    int64_t cents;
};

struct life {
    struct shared *shared;
    char db[300];
    const char *plant;
    uint64_t seed;
    int has_thread; /* our own drives */
};

struct order {
    uint32_t number, ops;
    struct history_op op[HISTORY_OPS];
};

struct list {
    int64_t cents;
    struct history_list numbers;
};

struct answer {
    struct history_list read[HISTORY_OPS];
};

struct call {
    uint32_t number;
    int32_t cents;
};

static int is_planted(const struct life *life, const char *bug)
{
    return life->plant && strcmp(life->plant, bug) == 0;
}

/* -- actors ------------------------------------------------------------------------------------ */

static int run_append(sf_turn *turn)
{
    const struct life *life = sf_userdata(turn);
    struct list *self = sf_state(turn);
    const struct call *call = sf_body(turn, sizeof *call);
    if (self->numbers.count == HISTORY_LIST_MAX)
        return sf_reject(turn, "the list is full");
    self->cents += call->cents;
    if (!is_planted(life, "lost") || call->number % 97)
        self->numbers.numbers[self->numbers.count++] = call->number;
    return 0;
}

static int run_read(sf_turn *turn)
{
    const struct list *self = sf_state(turn);
    return sf_reply(turn, "numbers", SF_OF(self->numbers));
}

static sf_address list_address(uint32_t key, char id[12])
{
    snprintf(id, 12, "%u", key);
    return sf_addr("test/list", id);
}

/* From the first list that it appends to, to the second; of one alone, nothing. */
static int32_t cents_of(const struct order *order, uint32_t op)
{
    uint32_t appends = 0, before = 0;
    for (uint32_t i = 0; i < order->ops; i++) {
        appends += order->op[i].is_append;
        before += i < op && order->op[i].is_append;
    }
    return appends < 2 || before > 1 ? 0 : before ? 7 : -7;
}

static int run_op(sf_turn *turn, const struct order *order, uint32_t i, struct answer *answer)
{
    char id[12];
    sf_address list = list_address(order->op[i].key, id);
    struct call call = {order->number, cents_of(order, i)};
    const sf_message *reply =
        sf_call(turn, list, order->op[i].is_append ? "append" : "read", SF_OF(call));
    if (reply->body.size == sizeof answer->read[i])
        memcpy(&answer->read[i], reply->body.data, sizeof answer->read[i]);
    return sf_msg(turn)->attempt == 1 && order->number % 5 == 0 && i == order->ops / 2
               ? sf_fail(turn, "half of it, and undone")
               : 0;
}

static int run_transaction(sf_turn *turn)
{
    const struct order *order = sf_body(turn, sizeof *order);
    struct answer answer;
    memset(&answer, 0, sizeof answer);
    for (uint32_t i = 0; i < order->ops; i++)
        if (run_op(turn, order, i, &answer))
            return -1;
    return sf_reply(turn, "done", SF_OF(answer));
}

/* By way of another one: calls within calls. */
static int run_nested(sf_turn *turn)
{
    const struct order *order = sf_body(turn, sizeof *order);
    const sf_message *answer = sf_call(turn, sf_addr("test/teller", "inner"), "txn", SF_OF(*order));
    return sf_reply(turn, "done", answer->body);
}

static const sf_type list_type =
    SF_TYPE("test/list", .on = {{"append", run_append}, {"read", run_read}},
            .state_size = sizeof(struct list));
static const sf_type teller_type =
    SF_TYPE("test/teller", .on = {{"txn", run_transaction}, {"nested", run_nested}});

/* -- clients ----------------------------------------------------------------------------------- */

/* A list that has room; one that is full gives way to a new one. */
static uint32_t pick_list(struct shared *shared, struct dice *dice, int is_append)
{
    uint32_t place = (uint32_t)dice_below(dice, OPEN_LISTS), key = shared->open[place];
    if (!is_append || atomic_fetch_add(&shared->appends[key], 1) < LIST_FULL)
        return key;
    uint32_t fresh = atomic_fetch_add(&shared->next_list, 1);
    if (fresh >= LISTS)
        return (uint32_t)violate(&shared->verdict, "there are not enough lists"), key;
    atomic_compare_exchange_strong(&shared->open[place], &key, fresh);
    atomic_fetch_add(&shared->appends[fresh], 1);
    return fresh;
}

static int has_key(const struct order *order, uint32_t key)
{
    for (uint32_t i = 0; i < order->ops; i++)
        if (order->op[i].key == key)
            return 1;
    return 0;
}

static struct order draw(struct shared *shared, struct dice *dice, uint32_t number)
{
    struct order order;
    memset(&order, 0, sizeof order);
    order.number = number;
    uint32_t ops = 2 + (uint32_t)dice_below(dice, HISTORY_OPS - 1);
    for (uint32_t i = 0; i < ops; i++) {
        int is_append = dice_below(dice, 2) != 0;
        uint32_t key = pick_list(shared, dice, is_append);
        if (!has_key(&order, key))
            order.op[order.ops++] = (struct history_op){key, (uint32_t)is_append};
    }
    return order;
}

/* 0: answered. */
static int ask(const struct life *life, sf_runtime *rt, const struct order *order,
               struct answer *answer)
{
    char id[12];
    sf_message *reply = NULL;
    snprintf(id, sizeof id, "%u", order->number % TELLERS);
    const char *kind = order->number % 3 ? "txn" : "nested";
    if (sf_ask(rt, sf_addr("test/teller", id), kind, SF_OF(*order), -1, &reply) < 0)
        return violate(&life->shared->verdict, "transaction %u: %s", order->number, sf_errmsg());
    if (reply->body.size == sizeof *answer)
        memcpy(answer, reply->body.data, sizeof *answer);
    sf_message_free(reply);
    return 0;
}

/* Planted: each half is a transaction of its own. */
static int ask_torn(const struct life *life, sf_runtime *rt, const struct order *order,
                    struct answer *answer)
{
    struct order half = *order, rest = *order;
    struct answer late = {0};
    half.ops = order->ops / 2;
    rest.ops = order->ops - half.ops;
    memmove(rest.op, order->op + half.ops, rest.ops * sizeof *rest.op);
    if (ask(life, rt, &half, answer) < 0 || ask(life, rt, &rest, &late) < 0)
        return -1;
    memcpy(answer->read + half.ops, late.read, rest.ops * sizeof *late.read);
    return 0;
}

/* Planted: as it was before the newest append. */
static void make_stale(struct history_txn *txn)
{
    for (uint32_t i = 0; i < txn->ops; i++)
        if (txn->read[i].count) {
            txn->read[i].numbers[--txn->read[i].count] = 0;
            return;
        }
}

static int transact(const struct life *life, sf_runtime *rt, struct dice *dice, uint32_t number)
{
    struct shared *shared = life->shared;
    struct history_txn *txn = &shared->txns[number - 1];
    struct order order = draw(shared, dice, number);
    struct answer answer = {0};
    txn->ops = order.ops;
    memcpy(txn->op, order.op, sizeof txn->op);
    txn->asked = atomic_fetch_add(&shared->clock, 1) + 1;
    int rc = is_planted(life, "torn") ? ask_torn(life, rt, &order, &answer)
                                      : ask(life, rt, &order, &answer);
    if (rc < 0)
        return rc;
    memcpy(txn->read, answer.read, sizeof txn->read);
    if (is_planted(life, "stale") && number % 50 == 0)
        make_stale(txn);
    txn->answered = atomic_fetch_add(&shared->clock, 1) + 1;
    return 0;
}

struct client {
    const struct life *life;
    sf_runtime *rt;
    struct dice dice;
};

static void *run_client(void *arg)
{
    struct client *client = arg;
    struct shared *shared = client->life->shared;
    uint32_t number;
    while ((number = atomic_fetch_add(&shared->asked, 1) + 1) <= shared->limit)
        if (transact(client->life, client->rt, &client->dice, number) < 0)
            break;
    return NULL;
}

/* -- lives ------------------------------------------------------------------------------------- */

static int64_t must(const struct life *life, int64_t rc, const char *what)
{
    if (rc >= 0)
        return rc;
    violate(&life->shared->verdict, "%s: %s", what, sf_errmsg());
    exit(1);
}

static sf_runtime *open_lists(struct life *life)
{
    sf_options options = SF_OPTIONS(.store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt = NULL;
    options.commit_inline = life->seed % 3 == 0;
    options.epoch_turns_max = life->seed % 4 == 1 ? 3 : 0;
    must(life, sf_runtime_open(life->db, &options, &rt), "open");
    must(life, sf_register(rt, &list_type, life), "register");
    must(life, sf_register(rt, &teller_type, life), "register");
    return rt;
}

/* A process that works until it is killed, or all is asked. */
static int live(void *arg)
{
    struct life *life = arg;
    sf_runtime *rt = open_lists(life);
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    if (life->has_thread)
        must(life, sf_runtime_start(rt), "start");
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){life, rt, {mix64(life->seed * CLIENTS + (uint64_t)i)}};
        if (pthread_create(&threads[i], NULL, run_client, &clients[i]))
            return violate(&life->shared->verdict, "no thread");
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    must(life, sf_runtime_close(rt), "close");
    return life->shared->verdict.violated;
}

static int copy_list(struct life *life, const sf_entry *entry)
{
    char id[12] = "";
    const struct list *list = entry->value.data;
    memcpy(id, entry->key.data, entry->key.size < sizeof id ? entry->key.size : sizeof id - 1);
    unsigned long key = strtoul(id, NULL, 10);
    if (key >= LISTS)
        return violate(&life->shared->verdict, "a list '%s'", id);
    life->shared->lists[key] = list->numbers;
    life->shared->cents += list->cents;
    return 0;
}

/* A process that lets all come to its end, and tells what is there. */
static int collect(void *arg)
{
    struct life *life = arg;
    sf_runtime *rt = open_lists(life);
    sf_view *view = NULL;
    must(life, sf_run_until_idle(rt), "run");
    must(life, sf_view_open(rt, &view), "view");
    if (sf_view_dead(view, 0))
        violate(&life->shared->verdict, "a dead letter: %s", sf_view_dead(view, 0)->reason);
    sf_cursor *cursor = sf_view_actors(view, "test/list");
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        copy_list(life, entry);
    must(life, sf_cursor_error(cursor), "walk");
    sf_view_close(view);
    must(life, sf_runtime_close(rt), "close");
    return life->shared->verdict.violated;
}

/* -- the parent -------------------------------------------------------------------------------- */

struct options {
    uint64_t kills, seed;
    char dir[200];
    const char *plant;
};

static void copy_database(const char *from, const char *to)
{
    char path[400];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/data.mdb", from);
    char *bytes = read_whole(path, &size);
    mkdir(to, 0700);
    snprintf(path, sizeof path, "%s/data.mdb", to);
    FILE *file = bytes ? fopen(path, "we") : NULL;
    if (file) {
        fwrite(bytes, 1, size, file);
        fclose(file);
    }
    free(bytes);
}

/* Planted: the process after this kill finds what the one before it had. */
static void swap_copy(const struct life *life, uint64_t kills)
{
    char copy[320];
    snprintf(copy, sizeof copy, "%s.old", life->db);
    if (kills % 3 == 1) {
        remove_tree(copy);
        copy_database(life->db, copy);
    } else if (kills % 3 == 0) {
        remove_tree(life->db);
        copy_database(copy, life->db);
    }
}

static int run_child(struct life *life, int (*body)(void *arg), uint64_t kill_after_us)
{
    struct child child;
    if (child_fork(&child, body, life) < 0)
        return violate(&life->shared->verdict, "cannot fork");
    if (kill_after_us)
        child_kill_after(&child, kill_after_us);
    else if (child_wait(&child, HANG_MS) < 0)
        return violate(&life->shared->verdict, "hangs");
    if (child.was_killed && kill_after_us)
        return 1;
    return child_succeeded(&child) ? 0
                                   : violate(&life->shared->verdict, "%s", child_ending(&child));
}

/* Each client asks for one too many. */
static uint32_t asked_for(const struct shared *shared)
{
    return shared->asked < shared->limit ? shared->asked : shared->limit;
}

static int judge(struct shared *shared)
{
    char sentence[300];
    uint32_t asked = asked_for(shared);
    struct history history = {shared->txns, asked, shared->clock, shared->lists, LISTS};
    if (history_check(&history, sentence, sizeof sentence) < 0)
        return violate(&shared->verdict, "%s", sentence);
    if (shared->cents)
        return violate(&shared->verdict, "%" PRId64 " cents are gone", -shared->cents);
    return 0;
}

/* One history: so many kills, or until all transactions were asked for.  Its kills; -1. */
static int64_t run_history(const struct options *options, struct shared *shared, uint64_t round)
{
    struct life life = {.shared = shared, .plant = options->plant};
    struct dice dice = {mix64(options->seed + round)};
    uint64_t kills = 0;
    int rc = 1;
    memset(shared, 0, sizeof *shared);
    for (uint32_t i = 0; i < OPEN_LISTS; i++)
        shared->open[i] = i;
    shared->next_list = OPEN_LISTS;
    shared->limit = TXNS;
    snprintf(life.db, sizeof life.db, "%s/db", options->dir);
    remove_tree(life.db);
    while (rc > 0 && kills < KILLS_EACH) {
        life.seed = dice_throw(&dice);
        life.has_thread = kills % 2;
        rc = run_child(&life, live, 2000 + dice_below(&dice, 150000));
        kills += rc > 0;
        if (is_planted(&life, "old-copy"))
            swap_copy(&life, kills);
    }
    if (rc > 0) {
        shared->asked = asked_for(shared);
        shared->limit = shared->asked + TXNS_LAST < TXNS ? shared->asked + TXNS_LAST : TXNS;
        rc = run_child(&life, live, 0);
    }
    rc = rc < 0 ? rc : run_child(&life, collect, 0);
    rc = rc < 0 ? rc : judge(shared);
    return rc < 0 ? -1 : (int64_t)kills;
}

static struct options parse(int argc, char **argv)
{
    static const struct option longs[] = {{"kills", 1, NULL, 'k'}, {"seed", 1, NULL, 's'},
                                          {"dir", 1, NULL, 'd'},   {"plant", 1, NULL, 'p'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {.kills = 20, .seed = (uint64_t)getpid()};
    snprintf(options.dir, sizeof options.dir, "/tmp/histories.%ld", (long)getpid());
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'k')
            options.kills = strtoull(optarg, NULL, 10);
        else if (c == 's')
            options.seed = strtoull(optarg, NULL, 10);
        else if (c == 'd')
            snprintf(options.dir, sizeof options.dir, "%s", optarg);
        else if (c == 'p')
            options.plant = optarg;
        else
            exit(2);
    }
    return options;
}

int main(int argc, char **argv)
{
    struct options options = parse(argc, argv);
    struct shared *shared = shared_new(sizeof *shared);
    uint64_t kills = 0, rounds = 0, txns = 0;
    storm_init();
    mkdir(options.dir, 0700);
    if (!shared)
        return 1;
    for (int64_t more; kills < options.kills; rounds++) {
        more = run_history(&options, shared, rounds);
        if (more < 0) {
            printf("VIOLATION: %s\nseed %" PRIu64 ", history %" PRIu64 ", left as it was: %s\n",
                   shared->verdict.sentence, options.seed, rounds, options.dir);
            return 1;
        }
        kills += (uint64_t)more + 1; /* one that was never killed counts too, so that this ends */
        txns += asked_for(shared);
    }
    printf("histories: %" PRIu64 " kills, %" PRIu64 " transactions in %" PRIu64
           " histories, seed %" PRIu64 "\n",
           kills - rounds, txns, rounds, options.seed);
    remove_tree(options.dir);
    return 0;
}
