#include "actor/message.h"

#include <string.h>

#include "actor/key.h"
#include "actor/operation_record.h"
#include "base/copy.h"
#include "base/err.h"

enum {
    BODY_ALIGN = 16,
    NUMBERS_BYTES = 4 + 8 + 8 + 2,
    BODY_ABSENT = 0x8000 /* in the kind's size */
};

/* The offset of a body after so much text that makes it aligned in the message, empty or not. */
static size_t body_offset(size_t text_size, sf_bytes body)
{
    size_t head = offsetof(struct sfi_message, text);
    if (!body.data)
        return text_size;
    return ((head + text_size + BODY_ALIGN - 1) & ~(size_t)(BODY_ALIGN - 1)) - head;
}

/* -- optional parts ---------------------------------------------------------------------------------- */

enum {
    PARTS_KNOWN = SFI_PART_DUE | SFI_PART_TIMER | SFI_PART_ANSWER | SFI_PART_SPENT,
    PARTS_HEAD = 1 + 4 /* the bits and the size; in memory nothing if there are none */
};

/* Of those before the answer. */
static size_t answer_at(unsigned has)
{
    return (has & SFI_PART_DUE ? 8u : 0u) + (has & SFI_PART_TIMER ? 8u : 0u);
}

static size_t parts_size(const struct sfi_message_parts *parts)
{
    return answer_at(parts->has) + (parts->has & SFI_PART_ANSWER ? 4 + parts->answer.size : 0);
}

static size_t parts_room(const struct sfi_message_parts *parts)
{
    return parts->has ? PARTS_HEAD + parts_size(parts) : 0;
}

static void put_parts(unsigned char *at, const struct sfi_message_parts *parts)
{
    at[0] = (unsigned char)parts->has;
    sfi_le32_put(at + 1, (uint32_t)parts_size(parts));
    at += PARTS_HEAD;
    if (parts->has & SFI_PART_DUE)
        sfi_le64_put(at, parts->due_ms);
    at += parts->has & SFI_PART_DUE ? 8 : 0;
    if (parts->has & SFI_PART_TIMER)
        sfi_le64_put(at, parts->timer);
    at += parts->has & SFI_PART_TIMER ? 8 : 0;
    if (!(parts->has & SFI_PART_ANSWER))
        return;
    sfi_le32_put(at, (uint32_t)parts->answer.size);
    sfi_copy(at + 4, parts->answer.data, parts->answer.size);
}

/* From what put_parts() made, past the size.  Do they fit into so many bytes? */
static int get_parts(unsigned has, sf_bytes bytes, struct sfi_message_parts *out)
{
    const unsigned char *at = bytes.data;
    *out = (struct sfi_message_parts){.has = has};
    if (bytes.size < answer_at(has))
        return 0;
    if (has & SFI_PART_DUE)
        out->due_ms = sfi_le64_get(at);
    at += has & SFI_PART_DUE ? 8 : 0;
    if (has & SFI_PART_TIMER)
        out->timer = sfi_le64_get(at);
    at += has & SFI_PART_TIMER ? 8 : 0;
    size_t left = bytes.size - answer_at(has);
    if (!(has & SFI_PART_ANSWER))
        return 1;
    if (left < 4 || left - 4 < sfi_le32_get(at))
        return 0;
    out->answer = SF_BYTES(at + 4, sfi_le32_get(at));
    return 1;
}

static const unsigned char *parts_of(const struct sfi_message *message)
{
    return (const unsigned char *)message + sfi_message_plain_bytes(message);
}

struct sfi_message_parts sfi_message_parts(const struct sfi_message *message)
{
    struct sfi_message_parts parts = {0};
    const unsigned char *at = parts_of(message);
    if (message->has_parts)
        get_parts(at[0], SF_BYTES(at + PARTS_HEAD, sfi_le32_get(at + 1)), &parts);
    return parts;
}

int sfi_message_is_awaited(const struct sfi_message *message)
{
    struct sfi_message_parts parts = sfi_message_parts(message);
    return parts.answer.data && sfi_answer_is_awaited(parts.answer.data);
}

int sfi_message_is_spent(const struct sfi_message *message)
{
    return sfi_message_has(message, SFI_PART_SPENT) != 0;
}

void sfi_message_unawait(struct sfi_message *message)
{
    struct sfi_message_parts parts = sfi_message_parts(message);
    if (parts.answer.data)
        sfi_answer_unawait((unsigned char *)(uintptr_t)parts.answer.data);
}

void sfi_message_start_over(struct sfi_message *message)
{
    sfi_message_unawait(message);
    if (message->has_parts)
        *(unsigned char *)(uintptr_t)parts_of(message) &= (unsigned char)~SFI_PART_SPENT;
}

void sfi_message_spend(struct sfi_message *message)
{
    *(unsigned char *)(uintptr_t)parts_of(message) |= SFI_PART_SPENT;
}

/* -- made -------------------------------------------------------------------------------------------- */

static inline char *put_text(char *at, const void *text, size_t size)
{
    sfi_copy(at, text, size);
    at[size] = 0;
    return at + size + 1;
}

struct sfi_message *sfi_message_new(struct sfi_pool *pool, const struct sfi_letter *letter)
{
    size_t body_at =
        body_offset(letter->to_size + letter->from_size + letter->kind_size + 3, letter->body);
    size_t size = offsetof(struct sfi_message, text) + body_at + letter->body.size + 1;
    struct sfi_message *message =
        sfi_pool_alloc(pool, size + parts_room(&letter->parts));
    if (!message)
        return NULL;
    *message = (struct sfi_message){.to_type = letter->to_type,
                                    .from_type = letter->from_type,
                                    .hash = letter->hash,
                                    .body_size = (uint32_t)letter->body.size,
                                    .body_at = (uint16_t)body_at,
                                    .to_size = (uint8_t)letter->to_size,
                                    .from_size = (uint8_t)letter->from_size,
                                    .kind_size = (uint8_t)letter->kind_size,
                                    .body_absent = letter->body.data == NULL,
                                    .has_parts = letter->parts.has != 0};
    char *at = put_text(message->text, letter->to_id, letter->to_size);
    at = put_text(at, letter->from_id, letter->from_size);
    put_text(at, letter->kind, letter->kind_size);
    put_text(message->text + body_at, letter->body.data, letter->body.size);
    if (SFI_RARE(letter->parts.has))
        put_parts((unsigned char *)message + size, &letter->parts);
    return message;
}

void sfi_message_free(struct sfi_pool *pool, struct sfi_message *message)
{
    if (message)
        sfi_pool_free(pool, message, sfi_message_bytes(message));
}

void sfi_message_list_free(struct sfi_pool *pool, struct sfi_message_list *list)
{
    for (struct sfi_message *message; (message = sfi_list_pop(list));)
        sfi_message_free(pool, message);
}

/* -- records ------------------------------------------------------------------------------------- */

/* The outside has no id on disk: the ask's number lies beside. */
static size_t stored_from_size(const struct sfi_message *message)
{
    return message->from_type ? message->from_size : 0;
}

static unsigned char *put_address(unsigned char *at, const struct sfi_type *type, const char *id,
                                  size_t id_size)
{
    sfi_le32_put(at, type ? type->number : 0);
    at[4] = (unsigned char)id_size;
    sfi_copy(at + 5, id, id_size);
    return at + 5 + id_size;
}

static unsigned char *put_bytes(unsigned char *at, const void *data, size_t size)
{
    sfi_copy(at, data, size);
    return at + size;
}

/* One that was spent may have none any more. */
static int has_stored_parts(const struct sfi_message *message)
{
    return message->has_parts && *parts_of(message);
}

static size_t stored_parts_size(const struct sfi_message *message)
{
    return has_stored_parts(message) ? PARTS_HEAD + sfi_le32_get(parts_of(message) + 1) : 1;
}

/* At least the byte that says that there are none. */
static unsigned char *put_parts_of(unsigned char *at, const struct sfi_message *message)
{
    if (has_stored_parts(message))
        return put_bytes(at, parts_of(message), stored_parts_size(message));
    *at = 0;
    return at + 1;
}

static unsigned char *put_envelope(unsigned char *at, const struct sfi_message *message,
                                   uint64_t retry_ms)
{
    at = put_address(at, message->from_type, sfi_message_from(message), stored_from_size(message));
    at = put_address(at, message->to_type, sfi_message_to(message), message->to_size);
    sfi_le32_put(at, message->attempts);
    sfi_le64_put(at + 4, retry_ms);
    sfi_le64_put(at + 12, sfi_message_ask(message));
    sfi_le16_put(at + 20, message->kind_size | (message->body_absent ? BODY_ABSENT : 0));
    at = put_parts_of(at + 22, message);
    at = put_bytes(at, sfi_message_kind(message), message->kind_size);
    return put_bytes(at, message->text + message->body_at, message->body_size);
}

static size_t envelope_size(const struct sfi_message *message)
{
    return 5 + stored_from_size(message) + 5 + message->to_size + NUMBERS_BYTES +
           stored_parts_size(message) + message->kind_size + message->body_size;
}

/* The table, and the key there. */
static enum sfi_table place_of_row(const struct sfi_message *message, enum sfi_row row,
                                   struct sfi_key *key)
{
    if (row == SFI_ROW_MAILBOX) {
        sfi_key_sequence(key, message->sequence);
        return SFI_MAILBOX;
    }
    size_t id_size = row == SFI_ROW_PARKED ? message->to_size : 0;
    sfi_key_parked(key, message->to_type->number, sfi_message_to(message), id_size,
                   message->sequence);
    return SFI_PARKED;
}

int sfi_message_save(const struct sfi_message *message, enum sfi_row row, uint64_t retry_ms,
                     struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + envelope_size(message);
    enum sfi_table table = place_of_row(message, row, &key);
    unsigned char *record = sfi_batch_put(batch, table, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    put_envelope(record + SFI_RECORD_HEADER, message, retry_ms);
    sfi_record_finish(record, size, SFI_RECORD_MESSAGE, sfi_key_bytes(&key));
    return 0;
}

int sfi_message_erase(const struct sfi_message *message, struct sfi_batch *batch)
{
    struct sfi_key key;
    enum sfi_table table = place_of_row(message, message->row, &key);
    if (sfi_batch_delete(batch, table, sfi_key_bytes(&key)) < 0)
        return sfi_err(SF_ENOMEM, "out of memory");
    return 0;
}

int sfi_message_save_timer(const struct sfi_message *message, uint64_t due_ms, uint64_t sequence,
                           sf_bytes token, struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + 1 + token.size + envelope_size(message);
    sfi_key_timer(&key, due_ms, sequence);
    unsigned char *record = sfi_batch_put(batch, SFI_TIMER, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    record[SFI_RECORD_HEADER] = (unsigned char)token.size;
    put_envelope(put_bytes(record + SFI_RECORD_HEADER + 1, token.data, token.size), message, 0);
    sfi_record_finish(record, size, SFI_RECORD_TIMER, sfi_key_bytes(&key));
    return 0;
}

int sfi_message_save_kept(const struct sfi_message *message, uint64_t first, uint32_t index,
                          struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + 8 + envelope_size(message);
    sfi_key_kept(&key, first, index);
    unsigned char *record = sfi_batch_put(batch, SFI_ASYNC, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_le64_put(record + SFI_RECORD_HEADER, message->sequence);
    put_envelope(record + SFI_RECORD_HEADER + 8, message, 0);
    sfi_record_finish(record, size, SFI_RECORD_KEPT, sfi_key_bytes(&key));
    return 0;
}

int sfi_message_save_dead(const struct sfi_message *message, uint64_t sequence, const char *reason,
                          struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t reason_size = strlen(reason);
    size_t size = SFI_RECORD_HEADER + 2 + reason_size + envelope_size(message);
    sfi_key_sequence(&key, sequence);
    unsigned char *record = sfi_batch_put(batch, SFI_DEAD, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_le16_put(record + SFI_RECORD_HEADER, (uint16_t)reason_size);
    put_envelope(put_bytes(record + SFI_RECORD_HEADER + 2, reason, reason_size), message, 0);
    sfi_record_finish(record, size, SFI_RECORD_DEAD, sfi_key_bytes(&key));
    return 0;
}

/* A cursor over a record; running past its end is remembered, not done. */
struct reader {
    const unsigned char *at;
    size_t left;
    int short_of;
};

static const unsigned char *take(struct reader *reader, size_t size)
{
    static const unsigned char zeroes[8];
    if (reader->left < size) {
        reader->short_of = 1;
        return size <= sizeof zeroes ? zeroes : NULL;
    }
    const unsigned char *at = reader->at;
    reader->at += size;
    reader->left -= size;
    return at;
}

static sf_bytes take_bytes(struct reader *reader, size_t size)
{
    const unsigned char *data = take(reader, size);
    return reader->short_of ? SF_NONE : SF_BYTES(data, size);
}

/* Parts that are not known have a size too, so the rest can be read; parse() refuses them. */
static void take_parts(struct reader *reader, unsigned has, struct sfi_message_parts *out)
{
    sf_bytes bytes = take_bytes(reader, sfi_le32_get(take(reader, 4)));
    if (!reader->short_of && !get_parts(has, bytes, out))
        reader->short_of = 1;
    out->has = has;
}

static void take_envelope(struct reader *reader, unsigned has_parts, struct sfi_envelope *out)
{
    out->from_type = sfi_le32_get(take(reader, 4));
    out->from_id = take_bytes(reader, *take(reader, 1));
    out->to_type = sfi_le32_get(take(reader, 4));
    out->to_id = take_bytes(reader, *take(reader, 1));
    out->attempts = sfi_le32_get(take(reader, 4));
    out->retry_ms = sfi_le64_get(take(reader, 8));
    out->ask = sfi_le64_get(take(reader, 8));
    uint16_t kind_size = sfi_le16_get(take(reader, 2));
    unsigned parts = has_parts ? *take(reader, 1) : 0;
    if (parts && !reader->short_of)
        take_parts(reader, parts, &out->parts);
    out->body_absent = (kind_size & BODY_ABSENT) != 0;
    out->kind = take_bytes(reader, kind_size & ~BODY_ABSENT);
    out->body = take_bytes(reader, reader->left);
}

int sfi_envelope_parse(sf_bytes key, sf_bytes record, enum sfi_record_kind kind,
                       struct sfi_envelope *out)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, kind, &payload);
    if (rc < 0)
        return rc;
    struct reader reader = {payload.data, payload.size, 0};
    *out = (struct sfi_envelope){0};
    if (kind == SFI_RECORD_DEAD)
        out->reason = take_bytes(&reader, sfi_le16_get(take(&reader, 2)));
    if (kind == SFI_RECORD_TIMER)
        out->token = take_bytes(&reader, *take(&reader, 1));
    if (kind == SFI_RECORD_KEPT)
        out->sequence = sfi_le64_get(take(&reader, 8));
    take_envelope(&reader, kind == SFI_RECORD_TIMER || kind == SFI_RECORD_KEPT || sfi_record_version(record) > 1, out);
    unsigned newer = out->parts.has & ~(unsigned)PARTS_KNOWN;
    if (newer)
        return sfi_err(SF_ENEWER, "a message on disk has parts %#x, which this library does not know",
                       newer);
    if (reader.short_of || out->to_type == 0 || out->to_id.size == 0)
        return sfi_err(SF_ECORRUPT, "a message on disk is cut short");
    return out->parts.answer.data ? sfi_answer_parse(out->parts.answer, &out->answer) : 0;
}
