/* by_hand_lmdb.c - the workload as a C programmer would write it over LMDB.
 *
 * Two tables: the mailbox, keyed by one global sequence, and the states.  A message is put at the
 * end of the mailbox, taken from its front, and changes one state.  `--batch` messages share one
 * write transaction, and each commit is synced: LMDB's default, no flag that weakens it.
 *
 * Written to be fast within that shape: MDB_APPEND and an integer key for the mailbox, one cursor a
 * table and transaction, and the cursor that found a state also writes it, without a second search. */
#include <lmdb.h>

#include "workload.h"

static MDB_env *env;
static MDB_dbi mailbox_dbi, states_dbi;

struct loop {
    MDB_txn *txn;
    MDB_cursor *mailbox, *states; /* of `txn` */
    uint64_t sequence;            /* next in the mailbox */
    uint64_t waiting;             /* messages in the mailbox */
};

static void check(int rc, const char *what)
{
    if (rc)
        workload_fail("%s: %s", what, mdb_strerror(rc));
}

static void store_open(const char *dir)
{
    MDB_txn *txn;

    check(mdb_env_create(&env), "create");
    check(mdb_env_set_maxdbs(env, 2), "set_maxdbs");
    check(mdb_env_set_mapsize(env, (size_t)16 << 30), "set_mapsize");
    check(mdb_env_open(env, dir, 0, 0600), "open");
    check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, "mailbox", MDB_CREATE | MDB_INTEGERKEY, &mailbox_dbi), "mailbox");
    check(mdb_dbi_open(txn, "states", MDB_CREATE, &states_dbi), "states");
    check(mdb_txn_commit(txn), "commit");
}

static void begin(struct loop *loop)
{
    check(mdb_txn_begin(env, NULL, 0, &loop->txn), "begin");
    check(mdb_cursor_open(loop->txn, mailbox_dbi, &loop->mailbox), "cursor");
    check(mdb_cursor_open(loop->txn, states_dbi, &loop->states), "cursor");
}

static void commit(struct loop *loop)
{
    mdb_cursor_close(loop->mailbox);
    mdb_cursor_close(loop->states);
    check(mdb_txn_commit(loop->txn), "commit");
}

static void fill(const struct workload *w)
{
    unsigned char bytes[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX] = {1};
    MDB_val key = {sizeof bytes, bytes}, value = {w->state_size, state};
    MDB_txn *txn;

    check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    for (uint64_t i = 0; i < w->actors; i++) {
        workload_key(i, bytes);
        check(mdb_put(txn, states_dbi, &key, &value, MDB_APPEND), "fill");
    }
    check(mdb_txn_commit(txn), "commit");
}

static void push(struct loop *loop, struct workload_message *msg)
{
    MDB_val key = {sizeof loop->sequence, &loop->sequence}, value = {sizeof *msg, msg};

    check(mdb_cursor_put(loop->mailbox, &key, &value, MDB_APPEND), "push");
    loop->sequence++;
    loop->waiting++;
}

static struct workload_message pop(struct loop *loop)
{
    struct workload_message msg;
    MDB_val key, value;

    check(mdb_cursor_get(loop->mailbox, &key, &value, MDB_FIRST), "pop");
    memcpy(&msg, value.mv_data, sizeof msg);
    check(mdb_cursor_del(loop->mailbox, 0), "pop");
    loop->waiting--;
    return msg;
}

static void count(struct loop *loop, uint64_t actor)
{
    unsigned char bytes[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX];
    MDB_val key = {sizeof bytes, bytes}, value;
    uint64_t counter;

    workload_key(actor, bytes);
    check(mdb_cursor_get(loop->states, &key, &value, MDB_SET), "read state");
    memcpy(state, value.mv_data, value.mv_size);
    memcpy(&counter, state, sizeof counter);
    counter++;
    memcpy(state, &counter, sizeof counter);
    value.mv_data = state;
    check(mdb_cursor_put(loop->states, &key, &value, MDB_CURRENT), "write state");
}

static void handle_one(struct loop *loop, const struct workload *w, uint64_t *seed)
{
    struct workload_message msg;

    if (loop->waiting == 0) {
        msg = workload_message_next(w, seed);
        push(loop, &msg);
    }
    msg = pop(loop);
    count(loop, workload_target(w->actors, &msg));
    if (msg.hops) {
        workload_message_onward(&msg);
        push(loop, &msg);
    }
}

static struct workload_sum walk(void)
{
    struct workload_sum sum = {0, 0};
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;

    check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "begin");
    check(mdb_cursor_open(txn, states_dbi, &cursor), "cursor");
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
        workload_sum_entry(&sum, (unsigned char *)key.mv_data + 4, value.mv_data);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return sum;
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "counters", .hops = 1, .actors = 10000};
    struct loop loop = {0};
    struct workload_clock clock;
    uint64_t seed = WORKLOAD_SEED, done = 0, commits = 0;

    w.messages = 200000;
    w.state_size = 64;
    w.batch = 1000;
    workload_options(&w, argc, argv);
    if (w.batch == 0)
        w.batch = 1;
    store_open(w.dir);
    fill(&w);
    workload_clock_start(&clock);
    while (done < w.messages) {
        begin(&loop);
        for (uint64_t i = 0; i < w.batch && done < w.messages; i++, done++)
            handle_one(&loop, &w, &seed);
        commit(&loop);
        commits++;
        workload_clock_at(&clock, &w, done);
    }
    workload_clock_stop(&clock, &w);
    workload_verify(&w, walk());
    workload_print(&w, "lmdb", commits, &clock);
    mdb_env_close(env);
    return 0;
}
