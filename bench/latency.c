/* latency.c - how long one client waits until one message is durable, beside a bare LMDB commit.
 *
 * One after another, in one process and in turn, so that a slow moment of the disk meets all alike:
 *   lmdb           begin, put one state, commit; default flags, so it is synced
 *   ours           sf_send(), sf_wait() of the ticket; the waiting thread drives
 *   ours --thread  the same while the library's own thread drives
 * Each has its own database below --dir, with the same actors in it, and the same sequence of them.
 * Prints one line of JSON for each, with the median and the 99th percentile.  --messages: of each. */
#include <lmdb.h>

#include "statefun.h"
#include "workload.h"

struct client {
    const char *name;
    void (*once)(struct client *client, uint64_t actor);
    sf_runtime *rt;
    double *seconds; /* one a message */
};

static MDB_env *env;
static MDB_dbi states;
static uint64_t state_size;

static int count(sf_turn *turn)
{
    ++*(uint64_t *)sf_state(turn);
    return 0;
}

static sf_type counter_type = SF_TYPE("bench/counter", .handler = count);

static void check_lmdb(int rc, const char *what)
{
    if (rc)
        workload_fail("%s: %s", what, mdb_strerror(rc));
}

static void check(int64_t rc, const char *what)
{
    if (rc < 0)
        workload_fail("%s: %s", what, sf_errmsg());
}

/* -- what is measured ---------------------------------------------------------------------------- */

static void once_lmdb(struct client *client, uint64_t actor)
{
    unsigned char bytes[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX] = {1};
    MDB_val key = {sizeof bytes, bytes}, value = {state_size, state};
    MDB_txn *txn;

    (void)client;
    workload_key(actor, bytes);
    check_lmdb(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    check_lmdb(mdb_put(txn, states, &key, &value, 0), "put");
    check_lmdb(mdb_txn_commit(txn), "commit");
}

static int64_t send_one(sf_runtime *rt, uint64_t actor)
{
    unsigned char id[WORKLOAD_ID_SIZE];
    sf_address to = {counter_type.name, (const char *)id, WORKLOAD_ID_SIZE};
    struct workload_message msg = {.drawn = actor};
    int64_t ticket;

    workload_id(actor, id);
    while ((ticket = sf_send(rt, to, "count", SF_OF(msg))) == SF_EAGAIN)
        check(sf_step(rt, 0), "step");
    check(ticket, "send");
    return ticket;
}

static void once_ours(struct client *client, uint64_t actor)
{
    check(sf_wait(client->rt, send_one(client->rt, actor), -1), "wait");
}

/* -- around it ----------------------------------------------------------------------------------- */

static void dir_make(char *path, size_t size, const char *dir, const char *name)
{
    if (snprintf(path, size, "%s/%s", dir, name) >= (int)size)
        workload_fail("--dir: too long");
    if (mkdir(path, 0700) != 0)
        workload_fail("%s: %s", path, strerror(errno));
}

static void open_lmdb(const struct workload *w)
{
    char path[4096];
    MDB_txn *txn;

    dir_make(path, sizeof path, w->dir, "lmdb");
    check_lmdb(mdb_env_create(&env), "create");
    check_lmdb(mdb_env_set_maxdbs(env, 1), "set_maxdbs");
    check_lmdb(mdb_env_set_mapsize(env, (size_t)1 << 30), "set_mapsize");
    check_lmdb(mdb_env_open(env, path, 0, 0600), "open");
    check_lmdb(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    check_lmdb(mdb_dbi_open(txn, "states", MDB_CREATE, &states), "states");
    for (uint64_t i = 0; i < w->actors; i++) {
        unsigned char bytes[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX] = {1};
        MDB_val key = {sizeof bytes, bytes}, value = {w->state_size, state};
        workload_key(i, bytes);
        check_lmdb(mdb_put(txn, states, &key, &value, MDB_APPEND), "fill");
    }
    check_lmdb(mdb_txn_commit(txn), "commit");
}

static sf_runtime *open_ours(const struct workload *w, const char *name)
{
    char path[4096];
    sf_runtime *rt;

    dir_make(path, sizeof path, w->dir, name);
    check(sf_runtime_open(path, NULL, &rt), "open");
    check(sf_register(rt, &counter_type, NULL), "register");
    for (uint64_t i = 0; i < w->actors; i++)
        send_one(rt, i);
    check(sf_run_until_idle(rt), "fill");
    return rt;
}

static int order(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static void print(const struct workload *w, struct client *client)
{
    size_t n = w->messages;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += client->seconds[i];
    qsort(client->seconds, n, sizeof *client->seconds, order);
    printf("{\"workload\":\"latency\",\"program\":\"%s\",\"batch\":1,\"actors\":%" PRIu64
           ",\"state\":%" PRIu64 ",\"messages\":%zu,\"seconds\":%.6f,\"rate\":%.0f"
           ",\"p50_us\":%.1f,\"p99_us\":%.1f,\"round\":%" PRIu64 "}\n",
           client->name, w->actors, w->state_size, n, sum, (double)n / sum,
           client->seconds[n / 2] * 1e6, client->seconds[n * 99 / 100] * 1e6, w->round);
}

static void measure(const struct workload *w, struct client *clients, size_t count)
{
    uint64_t seed = WORKLOAD_SEED;

    for (uint64_t i = 0; i < w->messages; i++) {
        uint64_t actor = workload_draw(&seed) % w->actors;
        /* Each goes first equally often. */
        for (size_t c = 0; c < count; c++) {
            struct client *client = &clients[(i + c) % count];
            double start = workload_now();
            client->once(client, actor);
            client->seconds[i] = workload_now() - start;
        }
    }
}

int main(int argc, char **argv)
{
    struct workload w = {.actors = 10000, .state_size = 64};
    struct client clients[] = {{"lmdb", once_lmdb, NULL, NULL},
                               {"ours", once_ours, NULL, NULL},
                               {"ours --thread", once_ours, NULL, NULL}};
    size_t client_count = sizeof clients / sizeof *clients;

    w.messages = 1000;
    workload_options(&w, argc, argv);
    state_size = counter_type.state_size = w.state_size;
    open_lmdb(&w);
    clients[1].rt = open_ours(&w, "ours");
    clients[2].rt = open_ours(&w, "ours-thread");
    check(sf_runtime_start(clients[2].rt), "start");
    for (size_t i = 0; i < client_count; i++)
        if ((clients[i].seconds = calloc(w.messages, sizeof(double))) == NULL)
            workload_fail("out of memory");
    measure(&w, clients, client_count);
    for (size_t i = 0; i < client_count; i++) {
        print(&w, &clients[i]);
        check(sf_runtime_close(clients[i].rt), "close");
        free(clients[i].seconds);
    }
    mdb_env_close(env);
    return 0;
}
