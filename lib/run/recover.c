#include "run/recover.h"

#include "actor/key.h"
#include "actor/type_record.h"
#include "base/err.h"
#include "run/runtime.h"

typedef int row_reader(sf_runtime *rt, sf_bytes key, sf_bytes value);

static int for_each_row(sf_runtime *rt, enum sfi_table table, row_reader *read)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key at = {.size = 0};
    sf_bytes key, value;
    int rc = sfi_snapshot_open(rt->store, &snapshot);
    if (rc < 0)
        return rc;
    at.bytes[0] = 0;
    at.size = 1;
    /* Every key but the store's own is greater than a single zero byte. */
    while ((rc = sfi_snapshot_seek(snapshot, table, sfi_key_bytes(&at), 1, &key, &value)) > 0) {
        memcpy(at.bytes, key.data, key.size);
        at.size = key.size;
        rc = read(rt, key, value);
        if (rc < 0)
            break;
    }
    sfi_snapshot_close(snapshot);
    return rc;
}

static int read_meta(sf_runtime *rt, sf_bytes key, sf_bytes value)
{
    switch (*(const unsigned char *)key.data) {
    case SFI_META_COUNTERS:
        return sfi_epoch_load(rt, key, value);
    case SFI_META_TYPE:
        return sfi_type_load(&rt->types, key, value);
    case SFI_META_SOURCE:
        return sfi_position_load(&rt->positions, rt->sys, key, value);
    case SFI_META_EGRESS:
        return sfi_egress_load(&rt->egresses, key, value);
    default:
        return sfi_err(SF_ENEWER, "the database holds records that this library does not know");
    }
}

static int check_types(const struct sfi_types *types)
{
    for (uint32_t i = 0; i < types->count; i++)
        if (!types->all[i])
            return sfi_err(SF_ECORRUPT, "the type with number %u is missing", i + 1);
    return 0;
}

static int read_message(sf_runtime *rt, sf_bytes key, sf_bytes value)
{
    struct sfi_envelope envelope;
    int rc = sfi_envelope_parse(key, value, 0, &envelope);
    if (rc < 0)
        return rc;
    struct sfi_type *to = sfi_types_number(&rt->types, envelope.to_type);
    struct sfi_type *from = sfi_types_number(&rt->types, envelope.from_type);
    if (!to || (envelope.from_type && !from))
        return sfi_err(SF_ECORRUPT, "a message on disk names a type that does not exist");
    sf_bytes body = envelope.body_absent ? SF_NONE : envelope.body;
    struct sfi_message *message =
        sfi_message_new(&rt->mailbox.pool, envelope.kind.data, envelope.kind.size, body);
    if (!message)
        return sfi_err(SF_ENOMEM, "out of memory");
    message->to = sfi_actors_get(&rt->actors, to, envelope.to_id.data, envelope.to_id.size);
    if (from)
        message->from =
            sfi_actors_get(&rt->actors, from, envelope.from_id.data, envelope.from_id.size);
    if (!message->to || (from && !message->from)) {
        sfi_message_free(&rt->mailbox.pool, message);
        return sfi_err(SF_ENOMEM, "out of memory");
    }
    message->sequence = sfi_be64_get(key.data);
    message->attempts = envelope.attempts;
    message->retry_ms = envelope.retry_ms;
    message->ask = envelope.ask;
    sfi_mailbox_restore(&rt->mailbox, message);
    return 0;
}

int sfi_recover(sf_runtime *rt)
{
    int rc = for_each_row(rt, SFI_META, read_meta);
    if (rc == 0)
        rc = check_types(&rt->types);
    if (rc == 0)
        rc = for_each_row(rt, SFI_MAILBOX, read_message);
    return rc;
}
