#include "run/options.h"

#include "base/err.h"
#include "lmdb/store.h"

#define MEMORY_DEFAULT_BYTES (UINT64_C(512) << 20)
#define MEMORY_LEAST_BYTES (UINT64_C(1) << 20)
#define LOG_DEFAULT_BYTES (UINT64_C(256) << 20)
#define STORE_DEFAULT_BYTES (UINT64_C(32) << 30) /* what valgrind can still map */
#define DEAD_DEFAULT_BYTES (UINT64_C(64) << 20)

enum {
    PAYLOAD_DEFAULT = 1 << 20,
    CACHE_PART = 2, /* of memory_max: one half, */
    LOG_PART = 4,   /* and so on */
    MAILBOX_PART = 8,
    INBOX_PART = 32,
    LOG_RECORD_BYTES = 32,
    LOG_RECORDS_MOST = 1 << 30,
    INBOX_DEFAULT_MS = 100,
    EPOCH_TURNS_DEFAULT = 1 << 16,
    CRASHES_DEFAULT = 3,
    EGRESS_DEFAULT_RECORDS = 1 << 22,
    EGRESS_DEFAULT_PART = 8, /* of store_bytes_max */
    KEYS_DEFAULT_MS = 24 * 60 * 60 * 1000,
    DEAD_DEFAULT = 1 << 16,
    OPERATIONS_DEFAULT = 1 << 20,
    WORKERS_DEFAULT = 4,
    DEAD_DEFAULT_PART = 16 /* of store_bytes_max, or DEAD_DEFAULT_BYTES */
};

static uint64_t or_else(uint64_t given, uint64_t otherwise)
{
    return given ? given : otherwise;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int check(const sf_options *options)
{
    if (options->size != sizeof *options)
        return sfi_err(SF_EINVAL, "sf_options.size is %zu: use SF_OPTIONS()", options->size);
    if (options->payload_max > SF_PAYLOAD_MAX)
        return sfi_err(SF_EINVAL, "payload_max is %u, at most %d", options->payload_max,
                       SF_PAYLOAD_MAX);
    if (options->memory_max && options->memory_max < MEMORY_LEAST_BYTES)
        return sfi_err(SF_EINVAL, "memory_max is %llu, at least %llu",
                       (unsigned long long)options->memory_max,
                       (unsigned long long)MEMORY_LEAST_BYTES);
    return options->store_bytes_max ? sfi_lmdb_check_ceiling(options->store_bytes_max) : 0;
}

static void split_memory(sf_options *o)
{
    o->memory_max = or_else(o->memory_max, MEMORY_DEFAULT_BYTES);
    uint64_t records = o->memory_max / LOG_PART / LOG_RECORD_BYTES;
    o->cache_bytes_max = or_else(o->cache_bytes_max, o->memory_max / CACHE_PART);
    o->mailbox_bytes_max = or_else(o->mailbox_bytes_max, o->memory_max / MAILBOX_PART);
    o->inbox_bytes_max = or_else(o->inbox_bytes_max, o->memory_max / INBOX_PART);
    o->log_records_max = (uint32_t)or_else(o->log_records_max, least(records, LOG_RECORDS_MOST));
}

static void bound_the_store(sf_options *o)
{
    o->log_bytes_max = or_else(o->log_bytes_max, LOG_DEFAULT_BYTES);
    o->store_bytes_max = or_else(o->store_bytes_max, STORE_DEFAULT_BYTES);
    o->egress_records_max = or_else(o->egress_records_max, EGRESS_DEFAULT_RECORDS);
    o->egress_bytes_max = or_else(o->egress_bytes_max, o->store_bytes_max / EGRESS_DEFAULT_PART);
    o->dead_max = or_else(o->dead_max, DEAD_DEFAULT);
    o->dead_bytes_max = or_else(o->dead_bytes_max,
                                least(o->store_bytes_max / DEAD_DEFAULT_PART, DEAD_DEFAULT_BYTES));
}

int sfi_options_take(const sf_options *given, sf_options *out)
{
    int rc = given ? check(given) : 0;
    if (rc < 0)
        return rc;
    *out = given ? *given : (sf_options){.size = sizeof *out};
    out->payload_max = (uint32_t)or_else(out->payload_max, PAYLOAD_DEFAULT);
    out->epoch_turns_max = (uint32_t)or_else(out->epoch_turns_max, EPOCH_TURNS_DEFAULT);
    out->crashes_max = (uint32_t)or_else(out->crashes_max, CRASHES_DEFAULT);
    out->keys_keep_ms = or_else(out->keys_keep_ms, KEYS_DEFAULT_MS);
    out->operations_max = (uint32_t)or_else(out->operations_max, OPERATIONS_DEFAULT);
    out->workers_max = (uint32_t)or_else(out->workers_max, WORKERS_DEFAULT);
    out->inbox_ms_max = (uint32_t)or_else(out->inbox_ms_max, INBOX_DEFAULT_MS);
    split_memory(out);
    bound_the_store(out);
    return 0;
}
