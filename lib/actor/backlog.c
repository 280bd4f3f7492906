#include "actor/backlog.h"

#include "actor/key.h"
#include "base/err.h"

enum { PASSED_OVER = 2 };

static int fill_letter(const struct sfi_backlog *backlog, const struct sfi_envelope *envelope,
                       struct sfi_letter *letter)
{
    struct sfi_type *to = sfi_types_number(backlog->types, envelope->to_type);
    struct sfi_type *from = sfi_types_number(backlog->types, envelope->from_type);
    if (!to || (envelope->from_type && !from))
        return sfi_err(SF_ECORRUPT, "a message on disk names a type that does not exist");
    if (envelope->kind.size > SF_KIND_MAX)
        return sfi_err(SF_ECORRUPT, "a message on disk has a kind of %zu bytes",
                       envelope->kind.size);
    *letter = (struct sfi_letter){
        .to_type = to,
        .from_type = from,
        .hash = sfi_actors_hash(backlog->actors, to, envelope->to_id.data, envelope->to_id.size),
        .to_id = envelope->to_id.data,
        .to_size = envelope->to_id.size,
        .from_id = from ? envelope->from_id.data : (const char *)&envelope->ask,
        .from_size = from            ? envelope->from_id.size
                     : envelope->ask ? sizeof envelope->ask
                                     : 0,
        .kind = envelope->kind.data,
        .kind_size = envelope->kind.size,
        .body = envelope->body_absent ? SF_NONE : envelope->body,
        .parts = envelope->parts};
    return 0;
}

int sfi_backlog_open_row(const struct sfi_backlog *backlog, sf_bytes key, sf_bytes record,
                         enum sfi_row row, struct sfi_message **out)
{
    struct sfi_envelope envelope;
    struct sfi_letter letter;
    int rc = sfi_envelope_parse(key, record, SFI_RECORD_MESSAGE, &envelope);
    if (rc == 0)
        rc = fill_letter(backlog, &envelope, &letter);
    if (rc < 0)
        return rc;
    struct sfi_message *message = sfi_message_new(backlog->pool, &letter);
    if (!message)
        return sfi_err(SF_ENOMEM, "out of memory");
    message->sequence = sfi_be64_get((const unsigned char *)key.data + key.size - 8);
    message->attempts = envelope.attempts;
    message->row = row;
    if (envelope.retry_ms) {
        message->has_retry = 1;
        message->retry_ms = envelope.retry_ms;
    }
    *out = message;
    return 0;
}

static int is_last_attempt(const struct sfi_type *type, uint32_t attempts)
{
    return type->registered && attempts >= type->attempts_max;
}

int sfi_backlog_open_kept(const struct sfi_backlog *backlog, sf_bytes key, sf_bytes record,
                          struct sfi_message **out)
{
    struct sfi_envelope envelope;
    struct sfi_letter letter;
    int rc = sfi_envelope_parse(key, record, SFI_RECORD_KEPT, &envelope);
    if (rc == 0)
        rc = fill_letter(backlog, &envelope, &letter);
    if (rc < 0)
        return rc;
    if (is_last_attempt(letter.to_type, envelope.attempts + 1))
        letter.parts.has |= SFI_PART_SPENT;
    letter.parts.has &= ~(unsigned)SFI_PART_TIMER; /* its timer is through with it */
    struct sfi_message *message = sfi_message_new(backlog->pool, &letter);
    if (!message)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_message_unawait(message);
    message->sequence = envelope.sequence;
    message->attempts = envelope.attempts + 1;
    *out = message;
    return 0;
}

/* The range is read to its end. */
static int close_backlog(struct sfi_backlog *backlog)
{
    if (backlog->count)
        return sfi_err(SF_ECORRUPT, "%llu messages are missing on disk",
                       (unsigned long long)backlog->count);
    backlog->first = backlog->last = 0;
    return 0;
}

/* 1: the next message; 0: there was none, and the backlog is closed; negative. */
static int next_message(struct sfi_backlog *backlog, struct sfi_snapshot *snapshot,
                        struct sfi_message **out)
{
    struct sfi_key from;
    sf_bytes key, record;
    sfi_key_sequence(&from, backlog->first);
    int rc = sfi_snapshot_seek(snapshot, SFI_MAILBOX, sfi_key_bytes(&from), 0, &key, &record);
    if (rc < 0)
        return rc;
    if (rc > 0 && key.size != 8)
        return sfi_err(SF_ECORRUPT, "a message on disk has a key of %zu bytes", key.size);
    if (rc == 0 || sfi_be64_get(key.data) > backlog->last)
        return close_backlog(backlog);
    if (backlog->count == 0)
        return sfi_err(SF_ECORRUPT, "more messages are on disk than were counted");
    rc = sfi_backlog_open_row(backlog, key, record, SFI_ROW_MAILBOX, out);
    if (rc < 0 && rc != SF_ECORRUPT)
        return rc;
    backlog->first = sfi_be64_get(key.data) + 1;
    backlog->count--;
    backlog->damaged += rc < 0;
    return rc < 0 ? PASSED_OVER : 1;
}

int sfi_backlog_read(struct sfi_backlog *backlog, sfi_backlog_taker *take, void *taker)
{
    struct sfi_snapshot *snapshot;
    struct sfi_message *message;
    size_t rows = 0, bytes = 0;
    int rc = sfi_snapshot_open(backlog->store, &snapshot);
    if (rc < 0)
        return rc;
    /* With none left to count, one more look says that the range is empty indeed. */
    while ((backlog->count == 0 || (rows < SFI_SLICE_ROWS && bytes < SFI_SLICE_BYTES)) &&
           (rc = next_message(backlog, snapshot, &message)) > 0) {
        rows++;
        if (rc == PASSED_OVER)
            continue;
        bytes += sfi_message_bytes(message);
        take(taker, message);
    }
    sfi_snapshot_close(snapshot);
    return rc < 0 ? rc : 0;
}
