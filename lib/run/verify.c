#include "run/verify.h"

#include "base/err.h"
#include "dir/dir.h"
#include "dir/disk.h"
#include "lmdb/inspect.h"
#include "lmdb/store.h"
#include "run/audit.h"
#include "run/runtime.h"

enum { TRIES_MAX = 100 };

static int on_row(void *ctx, enum sfi_table table, sf_bytes key, sf_bytes value)
{
    return sfi_audit_row(ctx, table, key, value);
}

static int on_logged(void *ctx, sf_bytes key, sf_bytes value)
{
    return sfi_audit_logged(ctx, key, value);
}

static int on_problem(void *ctx, sf_bytes table, sf_bytes key)
{
    return sfi_problems_add(((struct sfi_audit *)ctx)->problems, table, key);
}

/* What is there as of one transaction. */
static int inspect(const struct sfi_sys *sys, int dir_fd, size_t transaction,
                   struct sfi_problems *problems)
{
    struct sfi_audit audit;
    struct sfi_lmdb_inspector inspector = {&audit, on_row, on_logged, on_problem};
    int rc = sfi_audit_begin(&audit, sys, problems);
    if (rc == 0)
        rc = sfi_lmdb_inspect(sys, dir_fd, transaction, &inspector);
    if (rc == 0)
        rc = sfi_audit_compare(&audit);
    sfi_audit_end(&audit);
    return rc;
}

/* The transaction's meta page may be gone before it was looked at: then a newer one is kept. */
static int inspect_here(const struct sfi_sys *sys, int dir_fd, const struct sfi_dir *here,
                        struct sfi_problems *problems)
{
    sf_runtime *rt = (sf_runtime *)(uintptr_t)((const char *)here - offsetof(sf_runtime, dir));
    int rc = SF_EAGAIN;
    for (int i = 0; i < TRIES_MAX && rc == SF_EAGAIN; i++) {
        struct sfi_snapshot *snapshot;
        rc = sfi_snapshot_open(rt->store, &snapshot);
        if (rc < 0)
            return rc;
        rc = inspect(sys, dir_fd, sfi_lmdb_snapshot_id(snapshot), problems);
        sfi_snapshot_close(snapshot);
    }
    return rc;
}

static int inspect_elsewhere(const struct sfi_sys *sys, int dir_fd, const char *path,
                             struct sfi_problems *problems)
{
    int rc = SF_EAGAIN;
    for (int i = 0; i < TRIES_MAX && rc == SF_EAGAIN; i++) {
        struct sfi_lmdb_pin *pin;
        size_t transaction;
        rc = sfi_lmdb_pin(path, &pin, &transaction);
        if (rc < 0)
            return rc;
        rc = inspect(sys, dir_fd, transaction, problems);
        sfi_lmdb_unpin(pin);
    }
    return rc;
}

static int look(const struct sfi_sys *sys, const char *path, struct sfi_problems *problems)
{
    struct sfi_dir dir;
    const struct sfi_dir *here;
    int is_elsewhere = sfi_dir_inspect(&dir, path, &here);
    if (is_elsewhere < 0)
        return is_elsewhere;
    int rc = sfi_lmdb_judge(dir.fd); /* with it there are meta pages that can be mapped */
    if (rc == 0)
        rc = here           ? inspect_here(sys, dir.fd, here, problems)
             : is_elsewhere ? inspect_elsewhere(sys, dir.fd, path, problems)
                            : inspect(sys, dir.fd, 0, problems);
    sfi_dir_close(&dir);
    return rc;
}

/* Damage that leaves nothing to look at is a problem too, and the only one. */
int64_t sfi_verify(const struct sfi_sys *sys, const char *path, sf_problem *problem, void *userdata)
{
    struct sfi_problems problems;
    sfi_problems_init(&problems, sys);
    int64_t rc = look(sys, path, &problems);
    if (rc == SF_ECORRUPT)
        rc = sfi_problems_add(&problems, sf_str(SFI_DISK_DATA), SF_NONE);
    if (rc == 0)
        rc = problems.count;
    if (rc > 0 && problem)
        sfi_problems_tell(&problems, problem, userdata);
    sfi_problems_fini(&problems);
    return rc < 0 ? sfi_err_in((int)rc, "verify '%.200s'", path ? path : "(null)") : rc;
}
