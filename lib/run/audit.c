#include "run/audit.h"

#include <string.h>

#include "actor/hold.h"
#include "actor/key.h"
#include "actor/message.h"
#include "actor/operation_record.h"
#include "actor/type_record.h"
#include "base/err.h"
#include "store/record.h"

enum { TYPES_MAX = SF_TYPES_MAX + 1 };

static const char *const names[SFI_TABLES] = {
    [SFI_META] = "meta",     [SFI_STATE] = "state", [SFI_MAILBOX] = "mailbox",
    [SFI_OUTBOX] = "outbox", [SFI_DEAD] = "dead",   [SFI_ENTRY] = "entry",
    [SFI_TIMER] = "timer",   [SFI_ASYNC] = "async", [SFI_HELD] = "held",
    [SFI_PARKED] = "parked"};

/* Rows of one egress. */
struct sfi_outbox_part {
    uint32_t number;
    uint64_t first, last, count;
};

int sfi_audit_begin(struct sfi_audit *audit, const struct sfi_sys *sys,
                    struct sfi_problems *problems)
{
    *audit = (struct sfi_audit){.problems = problems};
    sfi_types_init(&audit->types, sys);
    sfi_egresses_init(&audit->egresses, sys, UINT64_MAX, UINT64_MAX);
    sfi_positions_init(&audit->positions, sys);
    sfi_counters_init(&audit->counters);
    sfi_stock_init(&audit->stock, sys, problems);
    sfi_awaited_init(&audit->awaited, sys);
    audit->types_met = sfi_zalloc(sys, TYPES_MAX / 8 + 1);
    return audit->types_met ? 0 : sfi_err(SF_ENOMEM, "out of memory");
}

void sfi_audit_end(struct sfi_audit *audit)
{
    const struct sfi_sys *sys = audit->types.sys;
    sfi_free(sys, audit->types_met);
    sfi_stock_fini(&audit->stock);
    sfi_free(sys, audit->parts);
    sfi_awaited_fini(&audit->awaited);
    sfi_positions_fini(&audit->positions);
    sfi_egresses_fini(&audit->egresses);
    sfi_types_fini(&audit->types);
}

static int malformed(sf_bytes key)
{
    return sfi_err(SF_ECORRUPT, "no row of this table has such a key of %zu bytes", key.size);
}

/* -- actors, and who names them ---------------------------------------------------------------------- */

static int meet_type(struct sfi_audit *audit, uint32_t number)
{
    if (number == 0 || number >= TYPES_MAX)
        return sfi_err(SF_ECORRUPT, "it names type %u, which cannot be", number);
    audit->types_met[number / 8] |= (unsigned char)(1u << number % 8);
    if (number >= audit->types_met_end)
        audit->types_met_end = number + 1;
    return 0;
}

/* `type:4 size:1 id` and `more` bytes. */
static int check_actor(struct sfi_audit *audit, sf_bytes key, size_t more, int may_be_type)
{
    const unsigned char *bytes = key.data;
    if (key.size < 5 || key.size != 5u + bytes[4] + more || (bytes[4] == 0 && !may_be_type))
        return malformed(key);
    return meet_type(audit, sfi_be32_get(bytes));
}

/* What lies under a slot says itself what it is, as long as it may lie there. */
static int open_one_of(sf_bytes key, sf_bytes value, const enum sfi_record_kind *kinds, int count,
                       sf_bytes *payload)
{
    enum sfi_record_kind kind = kinds[0];
    for (int i = 1; i < count && value.size >= SFI_RECORD_HEADER; i++)
        if (((const unsigned char *)value.data)[5] == kinds[i])
            kind = kinds[i];
    return sfi_record_open(value, key, kind, payload);
}

static int check_slot(sf_bytes key, sf_bytes value)
{
    static const enum sfi_record_kind kinds[] = {SFI_RECORD_VALUE, SFI_RECORD_VALUE_AT,
                                                 SFI_RECORD_MAP, SFI_RECORD_LIST};
    sf_bytes payload;
    int rc = open_one_of(key, value, kinds, 4, &payload);
    if (rc == 0 && sfi_record_kind(value) == SFI_RECORD_VALUE_AT && payload.size < 8)
        rc = sfi_err(SF_ECORRUPT, "a value is cut short");
    const unsigned char *slot = (const unsigned char *)key.data + key.size - 2;
    return rc == 0 && slot[0] == 0xFF && slot[1] == 0xFF ? sfi_audit_schedule(payload) : rc;
}

static int check_state(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    static const enum sfi_record_kind structs[] = {SFI_RECORD_STATE, SFI_RECORD_STATE_AT};
    const unsigned char *bytes = key.data;
    sf_bytes payload;
    int rc = check_actor(audit, key, 2, 0);
    if (rc < 0)
        return rc;
    if (bytes[key.size - 2] || bytes[key.size - 1])
        return check_slot(key, value);
    rc = open_one_of(key, value, structs, 2, &payload);
    size_t least = sfi_record_kind(value) == SFI_RECORD_STATE_AT ? 12 : 4;
    return rc == 0 && payload.size < least ? sfi_err(SF_ECORRUPT, "a struct is cut short") : rc;
}

static int check_message(struct sfi_audit *audit, sf_bytes key, sf_bytes value,
                         enum sfi_record_kind kind)
{
    struct sfi_envelope envelope;
    int rc = sfi_envelope_parse(key, value, kind, &envelope);
    if (rc == 0 && envelope.to_type)
        rc = meet_type(audit, envelope.to_type);
    if (rc == 0 && envelope.from_type)
        rc = meet_type(audit, envelope.from_type);
    if (rc == 0 && kind == SFI_RECORD_MESSAGE && envelope.answer.is_awaited)
        rc = sfi_awaited_answer(&audit->awaited, envelope.to_type, envelope.to_id,
                                sfi_be64_get((const unsigned char *)key.data + key.size - 8));
    return rc;
}

static int check_timer(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    struct sfi_envelope envelope;
    int rc = sfi_audit_timer(&audit->timers, key, value, &envelope);
    if (rc == 0)
        rc = meet_type(audit, envelope.to_type);
    if (rc == 0 && envelope.from_type)
        rc = meet_type(audit, envelope.from_type);
    return rc;
}

static int check_entry(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    static const enum sfi_record_kind entries[] = {SFI_RECORD_ENTRY, SFI_RECORD_PROMISE};
    sf_bytes payload;
    if (!value.size) /* the order of time has keys alone */
        return sfi_stock_row(&audit->stock, key, value);
    int rc = open_one_of(key, value, entries, 2, &payload);
    if (rc == 0)
        rc = sfi_audit_token(&audit->timers, key, payload);
    return rc < 0 ? rc : sfi_stock_row(&audit->stock, key, value);
}

static int check_mailbox(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    if (key.size != 8)
        return malformed(key);
    uint64_t sequence = sfi_be64_get(key.data);
    if (sequence > audit->newest_message)
        audit->newest_message = sequence;
    return check_message(audit, key, value, SFI_RECORD_MESSAGE);
}

static int check_parked(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    int rc = check_actor(audit, key, 8, 1);
    if (rc < 0)
        return rc;
    uint64_t sequence = sfi_be64_get((const unsigned char *)key.data + key.size - 8);
    if (sequence > audit->newest_message)
        audit->newest_message = sequence;
    return check_message(audit, key, value, SFI_RECORD_MESSAGE);
}

static int check_dead(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    if (key.size != 8)
        return malformed(key);
    uint64_t sequence = sfi_be64_get(key.data);
    if (audit->rows[SFI_DEAD] == 1)
        audit->dead_first = sequence;
    if (sequence > audit->dead_newest)
        audit->dead_newest = sequence;
    return check_message(audit, key, value, SFI_RECORD_DEAD);
}

static int check_held(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    struct sfi_held held;
    int rc = check_actor(audit, key, 0, 1);
    if (rc == 0)
        rc = sfi_held_parse(key, value, &held);
    return rc < 0 ? rc : sfi_awaited_held(&audit->awaited, key, &held);
}

/* -- operations ---------------------------------------------------------------------------------- */

static int check_kept(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    int rc = check_message(audit, key, value, SFI_RECORD_KEPT);
    return rc < 0 ? rc : sfi_awaited_kept(&audit->awaited, sfi_be64_get(key.data));
}

static int check_operation(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    struct sfi_operation_row row;
    if (key.size == 12)
        return check_kept(audit, key, value);
    if (key.size != 8)
        return malformed(key);
    if (sfi_be64_get(key.data) > audit->newest_operation)
        audit->newest_operation = sfi_be64_get(key.data);
    int rc = sfi_operation_parse(key, value, &row);
    if (rc == 0)
        rc = meet_type(audit, row.owner_type);
    if (rc == 0 && row.from_type)
        rc = meet_type(audit, row.from_type);
    return rc == 0 && row.is_awaited
               ? sfi_awaited_operation(&audit->awaited, row.owner_type, row.owner_id)
               : rc;
}

/* -- the outbox --------------------------------------------------------------------------------------- */

static struct sfi_outbox_part *part_of(struct sfi_audit *audit, uint32_t number)
{
    for (uint32_t i = audit->part_count; i > 0; i--) /* rows of one come one after the other */
        if (audit->parts[i - 1].number == number)
            return &audit->parts[i - 1];
    if (audit->part_count == audit->part_capacity) {
        void *parts = sfi_grow(audit->types.sys, audit->parts, &audit->part_capacity,
                               (uint64_t)audit->part_count + 1, 16, sizeof *audit->parts);
        if (!parts)
            return NULL;
        audit->parts = parts;
    }
    audit->parts[audit->part_count] = (struct sfi_outbox_part){.number = number};
    return &audit->parts[audit->part_count++];
}

static int check_outbox(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    sf_bytes payload;
    if (key.size != 12)
        return malformed(key);
    uint64_t sequence = sfi_be64_get((const unsigned char *)key.data + 4);
    struct sfi_outbox_part *part = part_of(audit, sfi_be32_get(key.data));
    if (!part)
        return sfi_err(SF_ENOMEM, "out of memory");
    if (part->count++ == 0)
        part->first = sequence;
    part->last = sequence;
    return sfi_record_open(value, key, SFI_RECORD_OUTBOX, &payload);
}

/* -- meta --------------------------------------------------------------------------------------------- */

static int check_meta(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    switch (*(const unsigned char *)key.data) {
    case SFI_META_COUNTERS:
        audit->has_counters = 1;
        return sfi_counters_load(&audit->counters, key, value);
    case SFI_META_TYPE:
        return sfi_type_load(&audit->types, key, value);
    case SFI_META_SOURCE:
        return sfi_position_load(&audit->positions, key, value);
    case SFI_META_EGRESS:
        return sfi_egress_load(&audit->egresses, key, value);
    default:
        return sfi_err(SF_ENEWER, "this library knows no such row");
    }
}

static int check_row(struct sfi_audit *audit, enum sfi_table table, sf_bytes key, sf_bytes value)
{
    int rc;
    switch (table) {
    case SFI_META:
        return check_meta(audit, key, value);
    case SFI_STATE:
        rc = check_state(audit, key, value);
        return rc < 0 ? rc : sfi_stock_slot(&audit->stock, key, value, 0);
    case SFI_MAILBOX:
        return check_mailbox(audit, key, value);
    case SFI_OUTBOX:
        return check_outbox(audit, key, value);
    case SFI_DEAD:
        return check_dead(audit, key, value);
    case SFI_HELD:
        return check_held(audit, key, value);
    case SFI_PARKED:
        return check_parked(audit, key, value);
    case SFI_ENTRY:
        return check_entry(audit, key, value);
    case SFI_TIMER:
        return check_timer(audit, key, value);
    default:
        return check_operation(audit, key, value);
    }
}

int sfi_audit_logged(struct sfi_audit *audit, sf_bytes key, sf_bytes value)
{
    int rc = sfi_stock_slot(&audit->stock, key, value, 1);
    return rc == SF_ENOMEM ? rc : 0; /* what is wrong with it is told of the row */
}

int sfi_audit_row(struct sfi_audit *audit, enum sfi_table table, sf_bytes key, sf_bytes value)
{
    audit->rows[table]++;
    int rc = check_row(audit, table, key, value);
    if (rc == 0 || rc == SF_ENOMEM)
        return rc;
    return sfi_problems_add(audit->problems, sf_str(names[table]), key);
}

/* -- together ----------------------------------------------------------------------------------------- */

static int add(struct sfi_audit *audit, enum sfi_table table)
{
    return sfi_problems_add(audit->problems, sf_str(names[table]), SF_NONE);
}

static int compare(struct sfi_audit *audit, enum sfi_table table, uint64_t says, uint64_t has,
                   const char *what)
{
    if (says == has)
        return 0;
    sfi_err(SF_ECORRUPT, "%llu %s are counted, %llu are there", (unsigned long long)says, what,
            (unsigned long long)has);
    return add(audit, table);
}

static int compare_counters(struct sfi_audit *audit)
{
    const struct sfi_counters *counters = &audit->counters;
    int rc = compare(audit, SFI_MAILBOX, counters->waiting, audit->rows[SFI_MAILBOX], "messages");
    if (rc == 0)
        rc = compare(audit, SFI_PARKED, counters->parked, audit->rows[SFI_PARKED], "messages");
    if (rc == 0 && counters->dead_first) /* format 2 counted none */
        rc = compare(audit, SFI_DEAD, counters->dead_count, audit->rows[SFI_DEAD], "dead letters");
    if (rc == 0 && counters->next_type)
        rc = compare(audit, SFI_META, counters->next_type - 1, audit->types.count, "types");
    if (rc == 0 && counters->next_egress)
        rc = compare(audit, SFI_META, counters->next_egress - 1, audit->egresses.count, "egresses");
    if (rc == 0 && audit->newest_message >= counters->next_message) {
        sfi_err(SF_ECORRUPT, "message %llu was never given that number",
                (unsigned long long)audit->newest_message);
        rc = add(audit, SFI_MAILBOX);
    }
    if (rc == 0 && audit->dead_newest >= counters->next_dead) {
        sfi_err(SF_ECORRUPT, "dead letter %llu was never given that number",
                (unsigned long long)audit->dead_newest);
        rc = add(audit, SFI_DEAD);
    }
    if (rc == 0 && sfi_audit_timers(&audit->timers, counters->next_timer) < 0)
        rc = add(audit, SFI_TIMER);
    return rc;
}

static int compare_types(struct sfi_audit *audit)
{
    int rc = 0;
    uint32_t count = audit->types.count, end = audit->types_met_end;
    for (uint32_t number = 1; (number < end || number <= count) && rc == 0; number++) {
        int is_met = number < end && audit->types_met[number / 8] >> number % 8 & 1;
        if ((!is_met && number > count) || sfi_types_number(&audit->types, number))
            continue;
        sfi_err(SF_ECORRUPT, "the type with number %u is missing", number);
        rc = add(audit, SFI_META);
    }
    return rc;
}

static int compare_egress(struct sfi_audit *audit, const struct sfi_egress *egress)
{
    const struct sfi_outbox_part *part = NULL;
    uint64_t wanted = egress->next - 1 - egress->trimmed;
    for (uint32_t i = 0; i < audit->part_count; i++)
        if (audit->parts[i].number == egress->number)
            part = &audit->parts[i];
    if (part ? part->count == wanted && part->first == egress->trimmed + 1 &&
                   part->last == egress->next - 1
             : wanted == 0)
        return 0;
    sfi_err(SF_ECORRUPT, "egress '%s' has records %llu to %llu, %llu of them are there", egress->name,
            (unsigned long long)egress->trimmed + 1, (unsigned long long)egress->next - 1,
            (unsigned long long)(part ? part->count : 0));
    return add(audit, SFI_OUTBOX);
}

static int compare_outbox(struct sfi_audit *audit)
{
    int rc = 0;
    for (const struct sfi_egress *e = audit->egresses.first; e && rc == 0; e = e->next_egress)
        rc = compare_egress(audit, e);
    for (uint32_t i = 0; i < audit->part_count && rc == 0; i++) {
        const struct sfi_egress *egress = audit->egresses.first;
        while (egress && egress->number != audit->parts[i].number)
            egress = egress->next_egress;
        if (egress)
            continue;
        sfi_err(SF_ECORRUPT, "the egress with number %u is missing; records name it",
                audit->parts[i].number);
        rc = add(audit, SFI_META);
    }
    return rc;
}

static int compare_awaited(struct sfi_audit *audit)
{
    uint64_t wrong = sfi_awaited_compare(&audit->awaited);
    if (wrong) {
        sfi_err(SF_ECORRUPT, "%llu times what is awaited, and what is to come of it, do not agree",
                (unsigned long long)wrong);
        return add(audit, SFI_HELD);
    }
    if (!audit->has_counters || !audit->newest_operation ||
        audit->newest_operation < audit->counters.next_async)
        return 0;
    sfi_err(SF_ECORRUPT, "operation %llu was never given that number",
            (unsigned long long)audit->newest_operation);
    return add(audit, SFI_ASYNC);
}

/* A database in which nothing happened yet has no counters. */
int sfi_audit_compare(struct sfi_audit *audit)
{
    int rc = compare_types(audit);
    if (rc == 0)
        rc = compare_outbox(audit);
    if (rc == 0)
        rc = compare_awaited(audit);
    if (rc == 0 && !audit->has_counters && audit->rows[SFI_META]) {
        sfi_err(SF_ECORRUPT, "the counters are missing");
        rc = add(audit, SFI_META);
    }
    if (rc == 0)
        rc = sfi_stock_compare(&audit->stock, audit->counters.next_number);
    return rc == 0 && audit->has_counters ? compare_counters(audit) : rc;
}
