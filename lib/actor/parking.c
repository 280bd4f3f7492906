#include "actor/parking.h"

#include "actor/key.h"
#include "base/err.h"

static enum sfi_row row_of(const struct sfi_hold *hold)
{
    return hold->id_size ? SFI_ROW_PARKED : SFI_ROW_PARKED_TYPE;
}

enum { PASSED_OVER = 2, PAGE = 4096 };

/* The room that its row may take: rows in order leave their pages half empty, and a large one has
 * pages of its own. */
static uint64_t room_of(const struct sfi_message *message)
{
    uint64_t bytes = sfi_message_bytes(message);
    return bytes < PAGE / 2 ? 2 * bytes : (bytes + PAGE / 8 + PAGE - 1) / PAGE * PAGE;
}

static int is_parked(const struct sfi_message *message)
{
    return message->row == SFI_ROW_PARKED || message->row == SFI_ROW_PARKED_TYPE;
}

/* -- there ------------------------------------------------------------------------------------- */

static int move_row(const struct sfi_hold *hold, const struct sfi_message *message,
                    uint64_t retry_ms, struct sfi_batch *batch)
{
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    int rc = sfi_message_save(message, row_of(hold), retry_ms, batch);
    if (rc == 0 && message->row != SFI_ROW_NONE && message->row != row_of(hold))
        rc = sfi_message_erase(message, batch);
    if (rc < 0)
        sfi_batch_rollback(batch, mark);
    return rc;
}

static void add_to_range(struct sfi_parking *parking, struct sfi_hold *hold, uint64_t sequence)
{
    if (!sfi_hold_has_parked(hold)) {
        parking->holds->parked++;
        hold->first = hold->last = sequence;
    }
    hold->first = sequence < hold->first ? sequence : hold->first;
    hold->last = sequence > hold->last ? sequence : hold->last;
}

void sfi_parking_added(struct sfi_parking *parking, struct sfi_hold *hold,
                       const struct sfi_message *message)
{
    if (!is_parked(message)) {
        parking->rows++;
        parking->bytes += room_of(message);
    }
    parking->unread++;
    add_to_range(parking, hold, message->sequence);
}

int sfi_parking_put(struct sfi_parking *parking, struct sfi_hold *hold,
                    const struct sfi_message *message, int again, uint64_t retry_ms,
                    struct sfi_batch *batch)
{
    if (again || message->row != row_of(hold)) {
        int rc = move_row(hold, message, retry_ms, batch);
        if (rc < 0)
            return rc;
    }
    sfi_parking_added(parking, hold, message);
    return 0;
}

int sfi_parking_move(const struct sfi_hold *hold, struct sfi_message *message, uint64_t retry_ms,
                     struct sfi_batch *batch)
{
    int rc = move_row(hold, message, retry_ms, batch);
    if (rc == 0)
        message->row = row_of(hold);
    return rc;
}

int sfi_parking_less(struct sfi_parking *parking, const struct sfi_message *message)
{
    uint64_t bytes = room_of(message);
    if (parking->rows == 0)
        return 0;
    parking->rows--;
    parking->bytes -= bytes < parking->bytes ? bytes : parking->bytes;
    return 1;
}

/* -- and back ---------------------------------------------------------------------------------- */

/* All came back.  When nobody has anything there any more, nothing may be missing. */
static int close_range(struct sfi_parking *parking, struct sfi_hold *hold)
{
    hold->first = hold->last = 0;
    if (--parking->holds->parked || parking->unread == 0)
        return 0;
    return sfi_err(SF_ECORRUPT, "%llu parked messages are missing on disk",
                   (unsigned long long)parking->unread);
}

static int is_of(const struct sfi_key *key, sf_bytes other)
{
    return key->size == other.size && memcmp(key->bytes, other.data, key->size - 8) == 0;
}

/* 1: the next message; 0: there is none up to `limit`; negative. */
static int next_message(struct sfi_parking *parking, struct sfi_hold *hold, uint64_t limit,
                        struct sfi_snapshot *snapshot, struct sfi_message **out)
{
    struct sfi_key from;
    sf_bytes key, record;
    sfi_key_parked(&from, hold->type->number, hold->id, hold->id_size, hold->first);
    int rc = sfi_snapshot_seek(snapshot, SFI_PARKED, sfi_key_bytes(&from), 0, &key, &record);
    if (rc < 0)
        return rc;
    if (rc == 0 || !is_of(&from, key) ||
        sfi_be64_get((const unsigned char *)key.data + key.size - 8) > limit) {
        hold->first = limit + 1;
        return 0;
    }
    if (parking->unread == 0)
        return sfi_err(SF_ECORRUPT, "more messages are parked on disk than were counted");
    rc = sfi_backlog_open_row(parking->reader, key, record, row_of(hold), out);
    if (rc < 0 && rc != SF_ECORRUPT)
        return rc;
    parking->unread--;
    parking->reader->damaged += rc < 0; /* backlog.h: 3 */
    hold->first = sfi_be64_get((const unsigned char *)key.data + key.size - 8) + 1;
    return rc < 0 ? PASSED_OVER : 1;
}

int sfi_parking_read(struct sfi_parking *parking, struct sfi_hold *hold, uint64_t limit,
                     uint64_t bytes_max, sfi_backlog_taker *take, void *taker)
{
    struct sfi_snapshot *snapshot;
    struct sfi_message *message;
    uint64_t rows = 0, bytes = 0;
    int rc = sfi_snapshot_open(parking->reader->store, &snapshot);
    if (rc < 0)
        return rc;
    while (hold->first <= hold->last && rows < SFI_SLICE_ROWS && bytes < bytes_max &&
           (rc = next_message(parking, hold, limit, snapshot, &message)) > 0) {
        rows++;
        if (rc == PASSED_OVER)
            continue;
        bytes += sfi_message_bytes(message);
        take(taker, message);
    }
    sfi_snapshot_close(snapshot);
    if (rc < 0)
        return rc;
    return hold->first > hold->last ? close_range(parking, hold) : 0;
}

/* -- at open ----------------------------------------------------------------------------------- */

/* What an earlier run parked may lie up to the last sequence that it gave. */
static int load_hold(struct sfi_parking *parking, const struct sfi_hash_key *hash_key, sf_bytes key,
                     uint64_t last)
{
    struct sfi_whom whom;
    if (key.size < 8)
        return sfi_err(SF_ECORRUPT, "a parked message has a key of %zu bytes", key.size);
    int rc =
        sfi_whom_parse(parking->reader->types, hash_key, SF_BYTES(key.data, key.size - 8), &whom);
    if (rc < 0)
        return rc;
    struct sfi_hold *hold = sfi_holds_get(parking->holds, &whom);
    if (!hold)
        return sfi_err(SF_ENOMEM, "out of memory");
    parking->holds->parked++;
    hold->first = sfi_be64_get((const unsigned char *)key.data + key.size - 8);
    hold->last = last;
    hold->heeds_retry = 1;
    if (hold->first > last)
        return sfi_err(SF_ECORRUPT, "a parked message has a sequence that was never given");
    sfi_hold_is_ready(parking->holds, hold);
    return 0;
}

static int load_all(struct sfi_parking *parking, const struct sfi_hash_key *hash_key,
                    struct sfi_snapshot *snapshot, uint64_t last)
{
    struct sfi_key at = {.bytes = {0}, .size = 1};
    sf_bytes key, record;
    int rc;
    while ((rc = sfi_snapshot_seek(snapshot, SFI_PARKED, sfi_key_bytes(&at), 1, &key, &record)) >
           0) {
        rc = load_hold(parking, hash_key, key, last);
        if (rc < 0)
            return rc;
        memcpy(at.bytes, key.data, key.size); /* past all of that hold */
        at.size = key.size;
        sfi_be64_put(at.bytes + at.size - 8, UINT64_MAX);
    }
    return rc;
}

int sfi_parking_load(struct sfi_parking *parking, const struct sfi_hash_key *hash_key,
                     uint64_t next_sequence)
{
    struct sfi_snapshot *snapshot;
    int rc = sfi_snapshot_open(parking->reader->store, &snapshot);
    if (rc < 0)
        return rc;
    rc = load_all(parking, hash_key, snapshot, next_sequence - 1);
    sfi_snapshot_close(snapshot);
    if (rc < 0 || parking->rows == 0 || parking->holds->parked)
        return rc;
    return sfi_err(SF_ECORRUPT, "%llu parked messages are missing on disk",
                   (unsigned long long)parking->rows);
}
