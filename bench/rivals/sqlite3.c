/* sqlite3.c - SQLite, journal_mode=WAL and synchronous=FULL: fdatasync() of the log at each commit.
 *
 * Checkpoints come as SQLite makes them by default, inside the measured time.  Written to be fast:
 * statements are prepared once and bound without copies, a message is read and deleted by one
 * statement, and the page cache holds the whole database. */
#include <sqlite3.h>

#include "rival.h"

static sqlite3 *db;
static sqlite3_stmt *begin_stmt, *commit_stmt, *push_stmt, *pop_stmt, *get_stmt, *put_stmt,
    *replace_stmt;
static int state_size;

static void __attribute__((noreturn)) fail(const char *what)
{
    workload_fail("sqlite: %s: %s", what, sqlite3_errmsg(db));
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

/* The blob of the one row that a statement must find. */
static void read_blob(sqlite3_stmt *stmt, void *out, size_t size)
{
    if (sqlite3_step(stmt) != SQLITE_ROW)
        fail(sqlite3_sql(stmt));
    memcpy(out, sqlite3_column_blob(stmt, 0), size);
    sqlite3_reset(stmt);
}

static void prepare_all(void)
{
    begin_stmt = prepare("begin immediate");
    commit_stmt = prepare("commit");
    push_stmt = prepare("insert into mailbox values(?, ?)");
    pop_stmt = prepare("delete from mailbox where sequence = ? returning message");
    get_stmt = prepare("select state from states where actor = ?");
    put_stmt = prepare("insert or replace into states values(?, ?)");
    replace_stmt = prepare("update states set state = ?2 where actor = ?1");
}

static void open_db(const struct workload *w)
{
    char path[4096];

    state_size = (int)w->state_size;
    if (snprintf(path, sizeof path, "%s/rival.db", w->dir) >= (int)sizeof path)
        workload_fail("--dir: too long");
    if (sqlite3_open(path, &db) != SQLITE_OK)
        fail("open");
    execute("pragma journal_mode=wal");
    execute("pragma synchronous=full");
    execute("pragma cache_size=-2000000");
    execute("create table mailbox(sequence integer primary key, message blob)");
    execute("create table states(actor blob primary key, state blob) without rowid");
    prepare_all();
}

static void close_db(void)
{
    sqlite3_stmt *stmt;

    while ((stmt = sqlite3_next_stmt(db, NULL)) != NULL)
        sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static void begin(void)
{
    run(begin_stmt);
}

static void commit(void)
{
    run(commit_stmt);
}

static void write_state(sqlite3_stmt *stmt, const unsigned char *key, const void *state)
{
    sqlite3_bind_blob(stmt, 1, key, WORKLOAD_KEY_SIZE, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 2, state, state_size, SQLITE_STATIC);
    run(stmt);
}

static void put(const unsigned char *key, const void *state)
{
    write_state(put_stmt, key, state);
}

static void replace(const unsigned char *key, const void *state)
{
    write_state(replace_stmt, key, state);
}

static void get(const unsigned char *key, void *state)
{
    sqlite3_bind_blob(get_stmt, 1, key, WORKLOAD_KEY_SIZE, SQLITE_STATIC);
    read_blob(get_stmt, state, (size_t)state_size);
}

static void push(uint64_t sequence, const struct workload_message *msg)
{
    sqlite3_bind_int64(push_stmt, 1, (sqlite3_int64)sequence);
    sqlite3_bind_blob(push_stmt, 2, msg, sizeof *msg, SQLITE_STATIC);
    run(push_stmt);
}

static void pop(uint64_t sequence, struct workload_message *msg)
{
    sqlite3_bind_int64(pop_stmt, 1, (sqlite3_int64)sequence);
    read_blob(pop_stmt, msg, sizeof *msg);
}

static void walk(struct workload_sum *sum)
{
    sqlite3_stmt *all = prepare("select actor, state from states");

    while (sqlite3_step(all) == SQLITE_ROW)
        workload_sum_entry(sum, (const char *)sqlite3_column_blob(all, 0) + 4,
                           sqlite3_column_blob(all, 1));
    sqlite3_finalize(all);
}

const struct rival rival_sqlite = {"sqlite", open_db, close_db, begin, commit, put, get,
                                   put,      replace, push,     pop,   walk};
