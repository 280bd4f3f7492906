/* lmdb.c - LMDB with its default flags, which sync each commit; and with MDB_WRITEMAP.
 *
 * A commit waits twice: fdatasync() of the pages, then the meta page through a descriptor with
 * O_DSYNC.  With MDB_WRITEMAP it is msync() of both.  That is less safe: a stray write of the
 * program goes into the database, and the order in which pages reach the disk is the kernel's.
 *
 * Written to be fast: MDB_APPEND and an integer key for the mailbox, one cursor a table and
 * transaction, and the cursor that found a state also writes it, without a second search. */
#include <lmdb.h>

#include "rival.h"

static MDB_env *env;
static MDB_dbi mailbox_dbi, states_dbi;
static MDB_txn *txn;
static MDB_cursor *mailbox, *states; /* of `txn`; NULL until needed */
static size_t state_size;

static void check(int rc, const char *what)
{
    if (rc)
        workload_fail("lmdb: %s: %s", what, mdb_strerror(rc));
}

static MDB_cursor *cursor_of(MDB_cursor **cursor, MDB_dbi dbi)
{
    if (!*cursor)
        check(mdb_cursor_open(txn, dbi, cursor), "cursor");
    return *cursor;
}

static void begin(void)
{
    check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    mailbox = states = NULL;
}

static void commit(void)
{
    if (mailbox)
        mdb_cursor_close(mailbox);
    if (states)
        mdb_cursor_close(states);
    check(mdb_txn_commit(txn), "commit");
}

static void open_with(const struct workload *w, unsigned flags)
{
    state_size = w->state_size;
    check(mdb_env_create(&env), "create");
    check(mdb_env_set_maxdbs(env, 2), "set_maxdbs");
    check(mdb_env_set_mapsize(env, (size_t)16 << 30), "set_mapsize");
    check(mdb_env_open(env, w->dir, flags, 0600), "open");
    begin();
    check(mdb_dbi_open(txn, "mailbox", MDB_CREATE | MDB_INTEGERKEY, &mailbox_dbi), "mailbox");
    check(mdb_dbi_open(txn, "states", MDB_CREATE, &states_dbi), "states");
    commit();
}

static void open_default(const struct workload *w)
{
    open_with(w, 0);
}

static void open_writemap(const struct workload *w)
{
    open_with(w, MDB_WRITEMAP);
}

static void close_env(void)
{
    mdb_env_close(env);
}

static void put_flags(const unsigned char *bytes, const void *state, unsigned flags)
{
    MDB_val key = {WORKLOAD_KEY_SIZE, (void *)bytes}, value = {state_size, (void *)state};

    check(mdb_cursor_put(cursor_of(&states, states_dbi), &key, &value, flags), "write state");
}

static void append(const unsigned char *key, const void *state)
{
    put_flags(key, state, MDB_APPEND);
}

static void put(const unsigned char *key, const void *state)
{
    put_flags(key, state, 0);
}

static void replace(const unsigned char *key, const void *state)
{
    put_flags(key, state, MDB_CURRENT);
}

static void get(const unsigned char *bytes, void *state)
{
    MDB_val key = {WORKLOAD_KEY_SIZE, (void *)bytes}, value;

    check(mdb_cursor_get(cursor_of(&states, states_dbi), &key, &value, MDB_SET), "read state");
    memcpy(state, value.mv_data, state_size);
}

static void push(uint64_t sequence, const struct workload_message *msg)
{
    MDB_val key = {sizeof sequence, &sequence}, value = {sizeof *msg, (void *)msg};

    check(mdb_cursor_put(cursor_of(&mailbox, mailbox_dbi), &key, &value, MDB_APPEND), "push");
}

static void pop(uint64_t sequence, struct workload_message *msg)
{
    MDB_cursor *cursor = cursor_of(&mailbox, mailbox_dbi);
    MDB_val key = {sizeof sequence, &sequence}, value;

    check(mdb_cursor_get(cursor, &key, &value, MDB_FIRST), "pop");
    memcpy(msg, value.mv_data, sizeof *msg);
    check(mdb_cursor_del(cursor, 0), "pop");
}

static void walk(struct workload_sum *sum)
{
    MDB_val key, value;

    check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "begin");
    check(mdb_cursor_open(txn, states_dbi, &states), "cursor");
    while (mdb_cursor_get(states, &key, &value, MDB_NEXT) == 0)
        workload_sum_entry(sum, (unsigned char *)key.mv_data + 4, value.mv_data);
    mdb_cursor_close(states);
    mdb_txn_abort(txn);
}

const struct rival rival_lmdb = {"lmdb", open_default, close_env, begin, commit, append, get,
                                 put,    replace,      push,      pop,   walk};
const struct rival rival_lmdb_writemap = {
    "lmdb-writemap", open_writemap, close_env, begin, commit, append, get,
    put,             replace,       push,      pop,   walk};
