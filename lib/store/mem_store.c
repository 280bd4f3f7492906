/* mem_store.c - the twin in memory, for tests.
 *
 * A disk is one version at a time: the tables of store.h, each a sorted array of entries, and an epoch.
 *
 * (1) A version never changes.  Settling builds the next one aside, sharing what stays the same, and
 *     then puts it in place: a failed allocation leaves the disk as it was.
 * (2) A snapshot holds its version, so it sees its epoch for as long as it is open.
 * (3) Versions, tables and entries are counted and die with their last holder; the disk's lock guards
 *     all counts.
 *
 * Values lie on odd addresses, so that a reader which relies on alignment is found out by a sanitizer
 * here and not by a machine later.
 *
 * Fault points: mem.submit (not taken), mem.settle.under_way (not yet, unless waited for),
 * mem.settle.before (fails, is not on disk), mem.settle.after (fails, is on disk), mem.safe (durable,
 * and safe only with the next settle), mem.read. */
#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/err.h"
#include "store/mem_store.h"
#include "store/batch.h"
#include "store/key_order.h"

struct entry {
    size_t refs;
    uint32_t value_at, value_size;
    uint16_t key_size;
    unsigned char bytes[]; /* the key, perhaps one unused, the value */
};

struct table {
    size_t refs, count;
    struct entry *entries[];
};

struct version {
    size_t refs;
    uint64_t epoch, bytes;
    struct table *tables[SFI_TABLES]; /* NULL: empty */
};

struct sfi_mem_disk {
    const struct sfi_sys *sys;
    pthread_mutex_t lock;
    struct version *newest;
    uint64_t bytes_max; /* 0: no limit */
    int open;
};

struct mem_store {
    struct sfi_store base;
    struct sfi_mem_disk *disk;
    struct version *settled;       /* what snapshots see */
    const struct sfi_batch *batch; /* under way, or NULL */
    size_t snapshots;
};

struct mem_snapshot {
    struct sfi_snapshot base;
    struct version *version;
};

static int fail_at(const struct sfi_sys *sys, const char *point)
{
    int rc = sfi_fault(sys, point);
    return rc < 0 ? sfi_err(rc, "%s: failed as a test asked", point) : rc;
}

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

/* -- entries, tables, versions; with the lock held -------------------------------------------------- */

static struct entry *entry_new(const struct sfi_sys *sys, const struct sfi_op *op)
{
    sf_bytes value = sfi_op_value(op);
    size_t value_at = op->key_size;
    if ((offsetof(struct entry, bytes) + value_at) % 2 == 0)
        value_at++;
    struct entry *entry = sfi_alloc(sys, sizeof *entry + value_at + value.size);
    if (!entry)
        return NULL;
    *entry = (struct entry){1, (uint32_t)value_at, op->value_size, op->key_size};
    memcpy(entry->bytes, op->key, op->key_size);
    memcpy(entry->bytes + value_at, value.data, value.size);
    return entry;
}

static sf_bytes entry_key(const struct entry *entry)
{
    return SF_BYTES(entry->bytes, entry->key_size);
}

static sf_bytes entry_value(const struct entry *entry)
{
    return SF_BYTES(entry->bytes + entry->value_at, entry->value_size);
}

static void entry_drop(const struct sfi_sys *sys, struct entry *entry)
{
    if (--entry->refs == 0)
        sfi_free(sys, entry);
}

static void table_drop(const struct sfi_sys *sys, struct table *table)
{
    if (!table || --table->refs)
        return;
    for (size_t i = 0; i < table->count; i++)
        entry_drop(sys, table->entries[i]);
    sfi_free(sys, table);
}

static void version_drop(const struct sfi_sys *sys, struct version *version)
{
    if (!version || --version->refs)
        return;
    for (int i = 0; i < SFI_TABLES; i++)
        table_drop(sys, version->tables[i]);
    sfi_free(sys, version);
}

static void table_push(struct table *table, struct entry *entry, uint64_t *bytes)
{
    table->entries[table->count++] = entry;
    *bytes += (uint64_t)entry->key_size + entry->value_size;
}

static void table_keep(struct table *table, struct entry *entry, uint64_t *bytes)
{
    entry->refs++;
    table_push(table, entry, bytes);
}

static sf_bytes op_key(void *ctx, uint32_t item)
{
    const struct sfi_op_list *list = ctx;
    return sfi_op_key(&list->ops[item]);
}

/* The old table with the operations merged in, whose order is prepared; NULL: no memory. */
static struct table *merge_ordered(const struct sfi_sys *sys, const struct table *old,
                                   const struct sfi_op_list *list, struct sfi_key_order *ops,
                                   uint64_t *bytes)
{
    size_t at = 0, old_count = old ? old->count : 0;
    uint32_t item;
    struct table *table =
        sfi_alloc(sys, sizeof *table + (old_count + list->count) * sizeof *table->entries);
    if (!table)
        return NULL;
    *table = (struct table){.refs = 1};
    while (sfi_key_order_next(ops, op_key, (void *)(uintptr_t)list, &item)) {
        const struct sfi_op *op = &list->ops[item];
        int order = -1;
        while (at < old_count &&
               (order = sfi_key_compare(entry_key(old->entries[at]), sfi_op_key(op))) < 0)
            table_keep(table, old->entries[at++], bytes);
        if (at < old_count && order == 0)
            at++;
        if (op->is_delete)
            continue;
        struct entry *entry = entry_new(sys, op);
        if (!entry) {
            table_drop(sys, table);
            return NULL;
        }
        table_push(table, entry, bytes);
    }
    while (at < old_count)
        table_keep(table, old->entries[at++], bytes);
    return table;
}

static struct table *table_merge(const struct sfi_sys *sys, const struct table *old,
                                 const struct sfi_op_list *list, uint64_t *bytes)
{
    struct sfi_key_order ops;
    struct table *table = NULL;
    sfi_key_order_init(&ops, sys);
    if (sfi_key_order_reserve(&ops, list->count) == 0) {
        for (uint32_t i = 0; i < list->count; i++)
            sfi_key_order_add(&ops, i, sfi_op_key(&list->ops[i]));
        table = merge_ordered(sys, old, list, &ops, bytes);
    }
    sfi_key_order_fini(&ops);
    return table;
}

static uint64_t table_bytes(const struct table *table)
{
    uint64_t bytes = 0;
    for (size_t i = 0; table && i < table->count; i++)
        bytes += (uint64_t)table->entries[i]->key_size + table->entries[i]->value_size;
    return bytes;
}

/* A version with a sealed batch applied to it; NULL: no memory. */
static struct version *version_next(const struct sfi_sys *sys, struct version *old,
                                    const struct sfi_batch *batch)
{
    struct version *next = sfi_zalloc(sys, sizeof *next);
    if (!next)
        return NULL;
    next->refs = 1;
    next->epoch = batch->epoch;
    for (int i = 0; i < SFI_TABLES; i++) {
        if (batch->tables[i].count == 0) {
            next->tables[i] = old->tables[i];
            if (next->tables[i])
                next->tables[i]->refs++;
            next->bytes += table_bytes(next->tables[i]);
            continue;
        }
        next->tables[i] = table_merge(sys, old->tables[i], &batch->tables[i], &next->bytes);
        if (!next->tables[i]) {
            version_drop(sys, next);
            return NULL;
        }
    }
    return next;
}

/* -- the disk --------------------------------------------------------------------------------------- */

struct sfi_mem_disk *sfi_mem_disk_new(const struct sfi_sys *sys)
{
    struct sfi_mem_disk *disk = sfi_zalloc(sys, sizeof *disk);
    struct version *empty = disk ? sfi_zalloc(sys, sizeof *empty) : NULL;
    if (!empty) {
        sfi_free(sys, disk);
        return NULL;
    }
    empty->refs = 1;
    disk->sys = sys;
    disk->newest = empty;
    pthread_mutex_init(&disk->lock, NULL);
    return disk;
}

void sfi_mem_disk_free(struct sfi_mem_disk *disk)
{
    if (!disk)
        return;
    assert(!disk->open);
    version_drop(disk->sys, disk->newest);
    pthread_mutex_destroy(&disk->lock);
    sfi_free(disk->sys, disk);
}

void sfi_mem_disk_limit(struct sfi_mem_disk *disk, uint64_t bytes_max)
{
    pthread_mutex_lock(&disk->lock);
    disk->bytes_max = bytes_max;
    pthread_mutex_unlock(&disk->lock);
}

/* Makes the next version the newest; the lock is held. */
static int apply(struct sfi_mem_disk *disk, const struct sfi_batch *batch)
{
    if (disk->newest->epoch == batch->epoch)
        return 0; /* an earlier attempt did it and said otherwise */
    if (disk->newest->epoch + 1 != batch->epoch)
        return sfi_err(SF_ECORRUPT, "epoch %llu cannot follow epoch %llu on disk",
                       (unsigned long long)batch->epoch, (unsigned long long)disk->newest->epoch);
    struct version *next = version_next(disk->sys, disk->newest, batch);
    if (!next)
        return no_memory();
    if (disk->bytes_max && next->bytes > disk->bytes_max) {
        version_drop(disk->sys, next);
        return sfi_err(SF_EDISK, "the database has reached store_bytes_max (%llu bytes)",
                       (unsigned long long)disk->bytes_max);
    }
    version_drop(disk->sys, disk->newest);
    disk->newest = next;
    return 0;
}

/* -- the store -------------------------------------------------------------------------------------- */

static int mem_submit(struct sfi_store *base, const struct sfi_batch *batch)
{
    struct mem_store *store = (struct mem_store *)base;
    assert(!store->batch && batch->epoch == base->durable + 1);
    int rc = fail_at(base->sys, "mem.submit");
    if (rc == 0)
        store->batch = batch;
    return rc;
}

static int mem_settle(struct sfi_store *base, int wait)
{
    struct mem_store *store = (struct mem_store *)base;
    struct sfi_mem_disk *disk = store->disk;
    if (!store->batch) {
        base->safe = base->durable;
        return SFI_DURABLE;
    }
    if (!wait && sfi_fault(base->sys, "mem.settle.under_way"))
        return SFI_UNDER_WAY;
    int rc = fail_at(base->sys, "mem.settle.before");
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&disk->lock);
    rc = apply(disk, store->batch);
    if (rc == 0)
        rc = fail_at(base->sys, "mem.settle.after");
    if (rc == 0) {
        version_drop(disk->sys, store->settled);
        store->settled = disk->newest;
        store->settled->refs++;
    }
    pthread_mutex_unlock(&disk->lock);
    if (rc < 0)
        return rc;
    base->safe = sfi_fault(base->sys, "mem.safe") ? base->durable : store->batch->epoch;
    base->durable = store->batch->epoch;
    store->batch = NULL;
    return SFI_DURABLE;
}

static int mem_tidy(struct sfi_store *base)
{
    (void)base;
    return 0;
}

static int mem_make_safe(struct sfi_store *base)
{
    base->safe = base->durable;
    return 0;
}

static uint64_t mem_room(struct sfi_store *base)
{
    struct sfi_mem_disk *disk = ((struct mem_store *)base)->disk;
    uint64_t room = UINT64_MAX;
    pthread_mutex_lock(&disk->lock);
    if (disk->bytes_max)
        room = disk->newest->bytes < disk->bytes_max ? disk->bytes_max - disk->newest->bytes : 0;
    pthread_mutex_unlock(&disk->lock);
    return room;
}

static int mem_snapshot_open(struct sfi_store *base, struct sfi_snapshot **out)
{
    struct mem_store *store = (struct mem_store *)base;
    struct mem_snapshot *snapshot = sfi_alloc(base->sys, sizeof *snapshot);
    if (!snapshot)
        return no_memory();
    pthread_mutex_lock(&store->disk->lock);
    *snapshot = (struct mem_snapshot){.base = {base}, .version = store->settled};
    store->settled->refs++;
    store->snapshots++;
    pthread_mutex_unlock(&store->disk->lock);
    *out = &snapshot->base;
    return 0;
}

static void mem_snapshot_close(struct sfi_snapshot *base)
{
    struct mem_snapshot *snapshot = (struct mem_snapshot *)base;
    struct mem_store *store = (struct mem_store *)base->store;
    pthread_mutex_lock(&store->disk->lock);
    version_drop(store->disk->sys, snapshot->version);
    store->snapshots--;
    pthread_mutex_unlock(&store->disk->lock);
    sfi_free(store->base.sys, snapshot);
}

/* The first position whose key is not less than `key`, with `*found` telling whether it is equal. */
static size_t table_search(const struct table *table, sf_bytes key, int *found)
{
    size_t low = 0, high = table ? table->count : 0;
    *found = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = sfi_key_compare(entry_key(table->entries[middle]), key);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
            *found |= order == 0; /* keys differ, so this one is where `low` ends up */
        }
    }
    return low;
}

static int mem_snapshot_get(struct sfi_snapshot *base, enum sfi_table which, sf_bytes key,
                            sf_bytes *out)
{
    const struct table *table = ((struct mem_snapshot *)base)->version->tables[which];
    int found, rc = fail_at(base->store->sys, "mem.read");
    if (rc < 0)
        return rc;
    size_t at = table_search(table, key, &found);
    if (found)
        *out = entry_value(table->entries[at]);
    return found;
}

static int mem_snapshot_seek(struct sfi_snapshot *base, enum sfi_table which, sf_bytes from,
                             int after, sf_bytes *out_key, sf_bytes *out_value)
{
    const struct table *table = ((struct mem_snapshot *)base)->version->tables[which];
    int found, rc = fail_at(base->store->sys, "mem.read");
    if (rc < 0)
        return rc;
    size_t at = table_search(table, from, &found);
    if (found && after)
        at++;
    if (!table || at == table->count)
        return 0;
    *out_key = entry_key(table->entries[at]);
    *out_value = entry_value(table->entries[at]);
    return 1;
}

static int mem_snapshot_walk(struct sfi_snapshot *base, sf_bytes from, int after, sf_bytes *out_key,
                             sf_bytes *out_value)
{
    return mem_snapshot_seek(base, SFI_STATE, from, after, out_key, out_value);
}

static int mem_snapshot_seek_before(struct sfi_snapshot *base, enum sfi_table which,
                                    sf_bytes before, sf_bytes *out_key, sf_bytes *out_value)
{
    const struct table *table = ((struct mem_snapshot *)base)->version->tables[which];
    int found, rc = fail_at(base->store->sys, "mem.read");
    if (rc < 0)
        return rc;
    size_t at = !table ? 0 : before.data ? table_search(table, before, &found) : table->count;
    if (at == 0)
        return 0;
    *out_key = entry_key(table->entries[at - 1]);
    *out_value = entry_value(table->entries[at - 1]);
    return 1;
}

static void mem_close(struct sfi_store *base)
{
    struct mem_store *store = (struct mem_store *)base;
    struct sfi_mem_disk *disk = store->disk;
    assert(store->snapshots == 0);
    pthread_mutex_lock(&disk->lock);
    version_drop(disk->sys, store->settled);
    disk->open = 0;
    pthread_mutex_unlock(&disk->lock);
    sfi_free(base->sys, store);
}

static const struct sfi_store_ops mem_ops = {
    .submit = mem_submit,
    .settle = mem_settle,
    .tidy = mem_tidy,
    .make_safe = mem_make_safe,
    .room = mem_room,
    .snapshot_open = mem_snapshot_open,
    .snapshot_close = mem_snapshot_close,
    .snapshot_get = mem_snapshot_get,
    .snapshot_seek = mem_snapshot_seek,
    .snapshot_seek_before = mem_snapshot_seek_before,
    .snapshot_walk = mem_snapshot_walk,
    .close = mem_close,
};

int sfi_mem_open(const struct sfi_sys *sys, struct sfi_mem_disk *disk, struct sfi_store **out)
{
    if (disk->open)
        return sfi_err(SF_ELOCKED, "the disk in memory is open already");
    struct mem_store *store = sfi_zalloc(sys, sizeof *store);
    if (!store)
        return no_memory();
    uint64_t epoch = disk->newest->epoch;
    store->base = (struct sfi_store){
        .ops = &mem_ops, .sys = sys, .name = "memory", .durable = epoch, .safe = epoch};
    store->disk = disk;
    store->settled = disk->newest;
    store->settled->refs++;
    disk->open = 1;
    *out = &store->base;
    return 0;
}
