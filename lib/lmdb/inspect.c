#include "lmdb/inspect.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/err.h"
#include "lmdb/chunk.h"
#include "lmdb/format.h"
#include "lmdb/walk.h"
#include "store/record.h"

struct inspection {
    const struct sfi_lmdb_inspector *inspector;
    uint64_t chunk_end; /* past the chunk that was seen last; 0: none was */
    uint32_t first_generation, generation;
    struct sfi_format format; /* number 0: not seen */
    uint64_t rows[SFI_DB_TABLES];
};

static int report(struct inspection *inspection, sf_bytes table, sf_bytes key)
{
    return inspection->inspector->problem(inspection->inspector->ctx, table, key);
}

/* -- the changelog ------------------------------------------------------------------------------------ */

/* Chunks without gaps, of no more than two generations that follow each other. */
static int check_place(struct inspection *inspection, uint64_t number, uint32_t generation)
{
    int is_first = inspection->chunk_end == 0;
    if (is_first)
        inspection->first_generation = inspection->generation = generation;
    int follows = generation == inspection->generation ||
                  (generation == inspection->first_generation + 1 && generation != 0);
    uint64_t expected = is_first ? number : inspection->chunk_end;
    inspection->chunk_end = number + 1;
    inspection->generation = generation;
    if (number != expected)
        return sfi_err(SF_ECORRUPT, "chunk %llu is missing", (unsigned long long)expected);
    return follows ? 0 : sfi_err(SF_ECORRUPT, "its generation %u makes no sense", generation);
}

static int look_at_chunk(struct inspection *inspection, sf_bytes key, sf_bytes chunk)
{
    const struct sfi_lmdb_inspector *inspector = inspection->inspector;
    struct sfi_log_entry entry = {.end = SFI_CHUNK_HEADER};
    uint32_t generation, count;
    int rc = sfi_chunk_open(chunk, key, &generation, &count);
    if (rc == 0)
        rc = check_place(inspection, sfi_be64_get(key.data), generation);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rc = sfi_chunk_entry(chunk, entry.end, &entry);
        if (rc == 0 && inspector->logged)
            rc = inspector->logged(inspector->ctx, entry.key,
                                   entry.is_delete ? SF_NONE : entry.value);
        if (rc == 0 && !entry.is_delete)
            rc = inspector->row(inspector->ctx, SFI_STATE, entry.key, entry.value);
    }
    return rc;
}

/* -- tables ------------------------------------------------------------------------------------------- */

static int is_format(int table, sf_bytes key)
{
    return table == SFI_META && key.size == 1 && *(const unsigned char *)key.data == 0;
}

static int look_at_row(void *ctx, sf_bytes name, sf_bytes key, sf_bytes value)
{
    struct inspection *inspection = ctx;
    const struct sfi_lmdb_inspector *inspector = inspection->inspector;
    int rc, table = sfi_db_table(name);
    if (table >= 0)
        inspection->rows[table]++;
    if (table < 0)
        rc = sfi_err(SF_EFOREIGN, "the table is not one of ours");
    else if (table == SFI_DB_LOG)
        rc = look_at_chunk(inspection, key, value);
    else if (is_format(table, key))
        rc = sfi_format_parse(value, &inspection->format);
    else
        return inspector->row(inspector->ctx, (enum sfi_table)table, key, value);
    return rc == SF_ECORRUPT || rc == SF_ENEWER || rc == SF_EFOREIGN
               ? report(inspection, name, key)
               : rc;
}

/* Format 2 counted none. */
static int compare_counts(struct inspection *inspection)
{
    int rc = 0;
    for (int i = 0; inspection->format.number >= 3 && i < SFI_DB_TABLES && rc == 0; i++) {
        const char *name = sfi_db_table_name(i);
        if (inspection->rows[i] == inspection->format.rows[i])
            continue;
        sfi_err(SF_ECORRUPT, "%llu rows are counted, %llu are there",
                (unsigned long long)inspection->format.rows[i],
                (unsigned long long)inspection->rows[i]);
        rc = report(inspection, sf_str(name), SF_NONE);
    }
    return rc;
}

static int look_at_problem(void *ctx, sf_bytes table)
{
    return report(ctx, table, SF_NONE);
}

static int inspect(const struct sfi_sys *sys, int fd, size_t transaction,
                   const struct sfi_lmdb_inspector *inspector)
{
    struct inspection inspection = {.inspector = inspector};
    struct sfi_walk_options options = {
        .listener = {&inspection, look_at_row, look_at_problem}};
    struct sfi_meta meta;
    uint64_t size;
    int rc = transaction ? sfi_page_meta_of(fd, transaction, &size, &meta)
                         : sfi_page_metas(fd, &size, &meta);
    if (rc < 0)
        return rc;
    struct sfi_page_file file = sfi_page_file(fd, size, &meta);
    rc = sfi_walk(sys, &file, &meta, &options);
    return rc == 0 ? compare_counts(&inspection) : rc;
}

int sfi_lmdb_inspect(const struct sfi_sys *sys, int dir_fd, size_t transaction,
                     const struct sfi_lmdb_inspector *inspector)
{
    int fd = sfi_page_open(dir_fd, O_RDONLY);
    if (fd < 0)
        return fd;
    int rc = inspect(sys, fd, transaction, inspector);
    close(fd);
    return rc;
}

/* -- beside another process --------------------------------------------------------------------------- */

/* It is an environment and its one transaction. */
int sfi_lmdb_pin(const char *dir, struct sfi_lmdb_pin **out, size_t *out_transaction)
{
    struct sfi_db db = {.name = (char *)(uintptr_t)dir, .dir_fd = -1};
    MDB_txn *txn;
    int error = mdb_env_create(&db.env);
    if (error)
        return sfi_db_error(&db, error, "look into");
    error = mdb_env_open(db.env, dir, MDB_RDONLY | MDB_NOTLS, 0600);
    if (!error)
        error = mdb_txn_begin(db.env, NULL, MDB_RDONLY, &txn);
    if (error) {
        mdb_env_close(db.env);
        return sfi_db_error(&db, error, "look into");
    }
    *out_transaction = mdb_txn_id(txn);
    *out = (struct sfi_lmdb_pin *)txn;
    return 0;
}

void sfi_lmdb_unpin(struct sfi_lmdb_pin *pin)
{
    MDB_txn *txn = (MDB_txn *)pin;
    MDB_env *env = mdb_txn_env(txn);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}
