/* by_hand_sqlite.c - the workload as a C programmer would write it over SQLite.
 *
 * Two tables: the mailbox, keyed by one global sequence, and the states.  `--batch` messages share
 * one transaction; journal_mode=WAL and synchronous=FULL, so each commit is synced.  Checkpoints
 * come as SQLite does them by default, inside the measured time.
 *
 * Written to be fast within that shape: statements are prepared once, bound without copies, and the
 * page cache holds the whole database. */
#include <sqlite3.h>

#include "workload.h"

static sqlite3 *db;

struct loop {
    sqlite3_stmt *begin, *commit, *push, *front, *drop, *get, *put;
    uint64_t waiting; /* messages in the mailbox */
};

static void __attribute__((noreturn)) fail(const char *what)
{
    workload_fail("%s: %s", what, sqlite3_errmsg(db));
}

static void execute(const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail(sql);
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *stmt;

    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK)
        fail(sql);
    return stmt;
}

/* A statement without a row. */
static void run(sqlite3_stmt *stmt)
{
    if (sqlite3_step(stmt) != SQLITE_DONE)
        fail(sqlite3_sql(stmt));
    sqlite3_reset(stmt);
}

/* A statement that must find its row; reset it when the row has been read. */
static void seek(sqlite3_stmt *stmt)
{
    if (sqlite3_step(stmt) != SQLITE_ROW)
        fail(sqlite3_sql(stmt));
}

static void store_open(struct loop *loop, const char *dir)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s/counters.db", dir) >= (int)sizeof path)
        workload_fail("--dir: too long");
    if (sqlite3_open(path, &db) != SQLITE_OK)
        fail("open");
    execute("pragma journal_mode=wal");
    execute("pragma synchronous=full");
    execute("pragma cache_size=-400000");
    execute("create table mailbox(sequence integer primary key, message blob)");
    execute("create table states(actor blob primary key, state blob) without rowid");
    loop->begin = prepare("begin immediate");
    loop->commit = prepare("commit");
    loop->push = prepare("insert into mailbox(message) values(?)");
    loop->front = prepare("select sequence, message from mailbox order by sequence limit 1");
    loop->drop = prepare("delete from mailbox where sequence = ?");
    loop->get = prepare("select state from states where actor = ?");
    loop->put = prepare("insert or replace into states values(?, ?)");
}

static void store_close(struct loop *loop)
{
    sqlite3_finalize(loop->begin);
    sqlite3_finalize(loop->commit);
    sqlite3_finalize(loop->push);
    sqlite3_finalize(loop->front);
    sqlite3_finalize(loop->drop);
    sqlite3_finalize(loop->get);
    sqlite3_finalize(loop->put);
    sqlite3_close(db);
}

static void push(struct loop *loop, const struct workload_message *msg)
{
    sqlite3_bind_blob(loop->push, 1, msg, sizeof *msg, SQLITE_STATIC);
    run(loop->push);
    loop->waiting++;
}

static struct workload_message pop(struct loop *loop)
{
    struct workload_message msg;

    seek(loop->front);
    sqlite3_bind_int64(loop->drop, 1, sqlite3_column_int64(loop->front, 0));
    memcpy(&msg, sqlite3_column_blob(loop->front, 1), sizeof msg);
    sqlite3_reset(loop->front);
    run(loop->drop);
    loop->waiting--;
    return msg;
}

static void state_put(struct loop *loop, const unsigned char *key, const void *state, size_t size)
{
    sqlite3_bind_blob(loop->put, 1, key, WORKLOAD_KEY_SIZE, SQLITE_STATIC);
    sqlite3_bind_blob(loop->put, 2, state, (int)size, SQLITE_STATIC);
    run(loop->put);
}

static void count(struct loop *loop, uint64_t actor, size_t state_size)
{
    unsigned char key[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX];
    uint64_t counter;

    workload_key(actor, key);
    sqlite3_bind_blob(loop->get, 1, key, sizeof key, SQLITE_STATIC);
    seek(loop->get);
    memcpy(state, sqlite3_column_blob(loop->get, 0), state_size);
    sqlite3_reset(loop->get);
    memcpy(&counter, state, sizeof counter);
    counter++;
    memcpy(state, &counter, sizeof counter);
    state_put(loop, key, state, state_size);
}

static void handle_one(struct loop *loop, const struct workload *w, uint64_t *seed)
{
    struct workload_message msg;

    if (loop->waiting == 0) {
        msg = workload_message_next(w, seed);
        push(loop, &msg);
    }
    msg = pop(loop);
    count(loop, workload_target(w->actors, &msg), w->state_size);
    if (msg.hops) {
        workload_message_onward(&msg);
        push(loop, &msg);
    }
}

static void fill(struct loop *loop, const struct workload *w)
{
    unsigned char key[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX] = {1};

    run(loop->begin);
    for (uint64_t i = 0; i < w->actors; i++) {
        workload_key(i, key);
        state_put(loop, key, state, w->state_size);
    }
    run(loop->commit);
    execute("pragma wal_checkpoint(truncate)");
}

static struct workload_sum walk(void)
{
    struct workload_sum sum = {0, 0};
    sqlite3_stmt *all = prepare("select actor, state from states");

    while (sqlite3_step(all) == SQLITE_ROW)
        workload_sum_entry(&sum, (const char *)sqlite3_column_blob(all, 0) + 4,
                           sqlite3_column_blob(all, 1));
    sqlite3_finalize(all);
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
    store_open(&loop, w.dir);
    fill(&loop, &w);
    workload_clock_start(&clock);
    while (done < w.messages) {
        run(loop.begin);
        for (uint64_t i = 0; i < w.batch && done < w.messages; i++, done++)
            handle_one(&loop, &w, &seed);
        run(loop.commit);
        commits++;
        workload_clock_at(&clock, &w, done);
    }
    workload_clock_stop(&clock, &w);
    workload_verify(&w, walk());
    workload_print(&w, "sqlite", commits, &clock);
    store_close(&loop);
    return 0;
}
