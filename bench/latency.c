/* latency.c - how long one client waits until one message is durable, beside a bare LMDB commit.
 *
 * One after another, in one process and in turn, so that a slow moment of the disk meets all alike:
 *   lmdb                 begin, put one state, commit; default flags, so it is synced
 *   ours                 sf_send(), sf_wait() of the ticket; the waiting thread drives
 *   ours, inline         the same with commit_inline: that thread also commits
 *   ours, ... --thread   the same two while the library's own thread drives
 * Each has its own database below --dir, with the same actors in it, and the same sequence of them.
 * Prints one line of JSON for each, with the median and the 99th percentile.  --messages: of each.
 * Afterwards each message must have been counted. */
#include <lmdb.h>

#include "ours.h"

struct client {
    const char *name;
    void (*once)(struct client *client, uint64_t actor);
    int commit_inline, thread; /* ours */
    sf_runtime *rt;
    double *seconds; /* one a message */
};

static MDB_env *env;
static MDB_dbi states;
static uint64_t state_size;

static void check_lmdb(int rc, const char *what)
{
    if (rc)
        workload_fail("%s: %s", what, mdb_strerror(rc));
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

static void once_ours(struct client *client, uint64_t actor)
{
    struct workload_message msg = {.drawn = actor};
    int64_t ticket = ours_send(client->rt, client->thread, &msg, actor);

    ours_check(sf_wait(client->rt, ticket, -1), "wait");
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

static void open_ours(const struct workload *w, struct client *client)
{
    sf_options options = ours_options(w);
    char path[4096];

    options.commit_inline = client->commit_inline;
    dir_make(path, sizeof path, w->dir, client->name);
    client->rt = ours_open(w, path, &options);
    ours_fill(client->rt, w);
    if (client->thread)
        ours_check(sf_runtime_start(client->rt), "start");
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
    workload_print_head(w, client->name);
    printf(",\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", sum,
           client->seconds[n / 2] * 1e6, client->seconds[n * 99 / 100] * 1e6);
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
    struct workload w = {.name = "latency", .actors = 10000, .state_size = 64, .batch = 1};
    struct client clients[] = {
        {.name = "lmdb", .once = once_lmdb},
        {.name = "ours", .once = once_ours},
        {.name = "ours, inline", .once = once_ours, .commit_inline = 1},
        {.name = "ours --thread", .once = once_ours, .thread = 1},
        {.name = "ours, inline --thread", .once = once_ours, .commit_inline = 1, .thread = 1}};
    size_t client_count = sizeof clients / sizeof *clients;

    w.messages = 1000;
    workload_options(&w, argc, argv);
    state_size = w.state_size;
    open_lmdb(&w);
    for (size_t i = 0; i < client_count; i++) {
        if (clients[i].once == once_ours)
            open_ours(&w, &clients[i]);
        if ((clients[i].seconds = calloc(w.messages, sizeof(double))) == NULL)
            workload_fail("out of memory");
    }
    measure(&w, clients, client_count);
    for (size_t i = 0; i < client_count; i++) {
        print(&w, &clients[i]);
        if (clients[i].rt)
            workload_verify(&w, ours_walk(clients[i].rt));
        ours_check(sf_runtime_close(clients[i].rt), "close");
        free(clients[i].seconds);
    }
    mdb_env_close(env);
    return 0;
}
