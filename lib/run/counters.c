#include "run/counters.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "run/part.h"
#include "run/runtime.h"
#include "store/record.h"

/* In the order of the record: append only. */
static const size_t fields[] = {
    offsetof(struct sfi_counters, next_message),  offsetof(struct sfi_counters, next_dead),
    offsetof(struct sfi_counters, waiting),       offsetof(struct sfi_counters, next_type),
    offsetof(struct sfi_counters, next_egress),   offsetof(struct sfi_counters, next_number),
    offsetof(struct sfi_counters, next_timer),    offsetof(struct sfi_counters, next_async),
    offsetof(struct sfi_counters, parked),        offsetof(struct sfi_counters, dead_first),
    offsetof(struct sfi_counters, dead_count),    offsetof(struct sfi_counters, dead_bytes),
    offsetof(struct sfi_counters, parked_bytes),  offsetof(struct sfi_counters, waiting_bytes),
    offsetof(struct sfi_counters, database)};

enum { FIELD_BYTES = 8, FIELDS = sizeof fields / sizeof *fields, FIELDS_OF_VERSION_1 = 3 };

static uint64_t get_field(const struct sfi_counters *counters, size_t i)
{
    uint64_t value;
    memcpy(&value, (const char *)counters + fields[i], sizeof value);
    return value;
}

static void set_field(struct sfi_counters *counters, size_t i, uint64_t value)
{
    memcpy((char *)counters + fields[i], &value, sizeof value);
}

void sfi_counters_init(struct sfi_counters *counters)
{
    *counters = (struct sfi_counters){.next_message = 1,
                                      .next_dead = 1,
                                      .next_type = 1,
                                      .next_egress = 1,
                                      .next_number = 1,
                                      .next_timer = 1,
                                      .next_async = 1,
                                      .dead_first = 1};
}

int sfi_counters_save(const struct sfi_counters *counters, struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + FIELDS * FIELD_BYTES;
    sfi_key_meta(&key, SFI_META_COUNTERS, "");
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    for (size_t i = 0; i < FIELDS; i++)
        sfi_le64_put(record + SFI_RECORD_HEADER + i * FIELD_BYTES, get_field(counters, i));
    sfi_record_finish(record, size, SFI_RECORD_COUNTERS, sfi_key_bytes(&key));
    return 0;
}

int sfi_counters_load(struct sfi_counters *out, sf_bytes key, sf_bytes record)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_COUNTERS, &payload);
    if (rc < 0)
        return rc;
    size_t count = payload.size / FIELD_BYTES;
    int is_first = sfi_record_version(record) == 1;
    if (payload.size % FIELD_BYTES || count < FIELDS_OF_VERSION_1 ||
        (is_first && count > FIELDS_OF_VERSION_1))
        return sfi_err(SF_ECORRUPT, "the record of counters has %zu bytes", payload.size);
    sfi_counters_init(out);
    out->dead_first = 0;
    if (is_first)
        out->next_type = out->next_egress = 0;
    for (size_t i = 0; i < count && i < FIELDS; i++)
        set_field(out, i, sfi_le64_get((const unsigned char *)payload.data + i * FIELD_BYTES));
    return 0;
}

/* -- the part ---------------------------------------------------------------------------------------- */

/* After sealing every message has its row, in table mailbox but for those that are parked. */
static int save(sf_runtime *rt, struct sfi_batch *batch)
{
    struct sfi_counters *counters = &rt->epoch.counters;
    counters->next_message = rt->mailbox.next_sequence;
    counters->waiting = rt->mailbox.count - rt->mailbox.parking.rows;
    counters->parked = rt->mailbox.parking.rows;
    counters->parked_bytes = rt->mailbox.parking.bytes;
    counters->waiting_bytes = rt->mailbox.bytes + rt->mailbox.backlog_bytes;
    counters->next_type = (uint64_t)rt->types.count + 1;
    counters->next_egress = rt->egresses.next_number;
    counters->next_async = rt->operations.next;
    counters->database = rt->operations.database;
    counters->next_dead = rt->dead.next;
    counters->dead_first = rt->dead.first;
    counters->dead_count = rt->dead.count;
    counters->dead_bytes = rt->dead.bytes;
    return sfi_counters_save(counters, batch);
}

static int recover_dead(struct sfi_dead *dead, const struct sfi_counters *counters)
{
    if (counters->dead_first)
        return sfi_dead_recover(dead, counters->dead_first, counters->next_dead,
                                counters->dead_count, counters->dead_bytes);
    return sfi_dead_recover(dead, 1, counters->next_dead, counters->next_dead - 1, 0);
}

static int load(sf_runtime *rt, sf_bytes key, sf_bytes record)
{
    struct sfi_counters *counters = &rt->epoch.counters;
    int rc = sfi_counters_load(counters, key, record);
    if (rc == 0)
        rc = recover_dead(&rt->dead, counters);
    if (rc < 0)
        return rc;
    sfi_mailbox_recover(&rt->mailbox, rt->store, counters->next_message, counters->waiting,
                        counters->parked);
    rt->mailbox.parking.bytes = rt->ceiling.parked = counters->parked_bytes;
    rt->mailbox.backlog_bytes = counters->waiting_bytes;
    return 0;
}

/* Rows of numbers never go, so all that were given are there; format 2 did not say how many. */
static int check_given(uint64_t next, uint32_t count, const char *what)
{
    if (next == 0 || next == (uint64_t)count + 1)
        return 0;
    return sfi_err(SF_ECORRUPT, "the database has %u %s where %llu numbers were given", count, what,
                   (unsigned long long)next - 1);
}

static int loaded(sf_runtime *rt)
{
    const struct sfi_counters *counters = &rt->epoch.counters;
    int rc = check_given(counters->next_type, rt->types.count, "types");
    if (rc == 0)
        rc = check_given(counters->next_egress, rt->egresses.count, "egresses");
    if (rc == 0 && counters->next_egress)
        rt->egresses.next_number = (uint32_t)counters->next_egress;
    return rc;
}

const struct sfi_part sfi_part_counters = {.name = "counters",
                                           .save = save,
                                           .meta = SFI_META_COUNTERS,
                                           .load = load,
                                           .loaded = loaded};
