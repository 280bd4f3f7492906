#include "run/schedule.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "run/runtime.h"
#include "store/record.h"

enum {
    SMALL_BYTES = 1024,
    PACKED, /* forms of the slot */
    IN_ROWS,
    ITEM_HEAD = 4,
    HEAD_BYTES = 1 + 8 + 8,
    ENTRY_HEAD = 5, /* of a row of table entry: form:1 version:4, both 0 */
    PROMISE_BYTES = 9
};

/* -- rows under a number ----------------------------------------------------------------------- */

struct sfi_rows sfi_schedule_rows(struct sfi_work *work)
{
    struct sfi_epoch *epoch = &work->rt->epoch;
    return (struct sfi_rows){.store = work->rt->store,
                             .open = sfi_epoch_batch(epoch),
                             .sealed = &epoch->batches[!epoch->open],
                             .arena = &work->arena};
}

int sfi_schedule_read_entry(sf_bytes payload, struct sfi_timer *out)
{
    if (payload.size < ENTRY_HEAD)
        return sfi_err(SF_ECORRUPT, "an entry on disk is cut short");
    return sfi_timer_decode(
        SF_BYTES((const char *)payload.data + ENTRY_HEAD, payload.size - ENTRY_HEAD), out);
}

static int get_row(struct sfi_work *work, uint64_t number, sf_bytes name, struct sfi_timer *out)
{
    struct sfi_key key;
    struct sfi_rows rows = sfi_schedule_rows(work);
    sf_bytes record, payload;
    sfi_key_entry(&key, number, name);
    int rc = sfi_rows_get(&rows, SFI_ENTRY, sfi_key_bytes(&key), &record);
    if (rc > 0)
        rc = sfi_record_open(record, sfi_key_bytes(&key), SFI_RECORD_ENTRY, &payload);
    else if (rc == 0)
        return 0;
    if (rc == 0)
        rc = sfi_schedule_read_entry(payload, out);
    return rc < 0 ? sfi_work_unreadable(work, rc) : 1;
}

static int put_row(struct sfi_work *work, uint64_t number, sf_bytes name, sf_bytes timer)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + ENTRY_HEAD + timer.size;
    sfi_key_entry(&key, number, name);
    unsigned char *record =
        sfi_batch_put(sfi_work_batch(work), SFI_ENTRY, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_work_no_memory(work);
    memset(record + SFI_RECORD_HEADER, 0, ENTRY_HEAD);
    memcpy(record + SFI_RECORD_HEADER + ENTRY_HEAD, timer.data, timer.size);
    sfi_record_finish(record, size, SFI_RECORD_ENTRY, sfi_key_bytes(&key));
    return sfi_work_charge(work, size + key.size);
}

static int delete_row(struct sfi_work *work, uint64_t number, sf_bytes name)
{
    struct sfi_key key;
    sfi_key_entry(&key, number, name);
    if (sfi_batch_delete(sfi_work_batch(work), SFI_ENTRY, sfi_key_bytes(&key)) < 0)
        return sfi_work_no_memory(work);
    return sfi_work_charge(work, key.size);
}

/* -- the slot, as it lies in memory ------------------------------------------------------------ */

struct head {
    int form;
    uint64_t number, count; /* IN_ROWS */
};

static sf_bytes slot_bytes(const struct sfi_slot *slot)
{
    return SF_BYTES(slot->data, slot->size);
}

/* One of those that are packed; 0: their end, or what they say cannot be. */
struct item {
    sf_bytes name, record;
    size_t at, size; /* of all of it */
};

static int next_item(sf_bytes slot, size_t at, struct item *out)
{
    const unsigned char *bytes = (const unsigned char *)slot.data + at;
    if (slot.size - at < ITEM_HEAD)
        return 0;
    size_t name_size = sfi_le16_get(bytes), record_size = sfi_le16_get(bytes + 2);
    if (slot.size - at < ITEM_HEAD + name_size + record_size)
        return 0;
    out->name = SF_BYTES(bytes + ITEM_HEAD, name_size);
    out->record = SF_BYTES(bytes + ITEM_HEAD + name_size, record_size);
    out->at = at;
    out->size = ITEM_HEAD + name_size + record_size;
    return 1;
}

#define FOR_EACH_ITEM(slot, item)                                                                  \
    for (size_t at_ = 1; next_item(slot, at_, &(item)); at_ += (item).size)

static int find_item(sf_bytes slot, sf_bytes name, struct item *out)
{
    FOR_EACH_ITEM(slot, *out)
        if (out->name.size == name.size && memcmp(out->name.data, name.data, name.size) == 0)
            return 1;
    return 0;
}

static unsigned char *put_item(unsigned char *at, sf_bytes name, sf_bytes record)
{
    sfi_le16_put(at, (uint16_t)name.size);
    sfi_le16_put(at + 2, (uint16_t)record.size);
    memcpy(at + ITEM_HEAD, name.data, name.size);
    memcpy(at + ITEM_HEAD + name.size, record.data, record.size);
    return at + ITEM_HEAD + name.size + record.size;
}

/* What says that it has `size` bytes in another form is damaged. */
static int read_head(sf_bytes slot, struct head *out)
{
    const unsigned char *bytes = slot.data;
    *out = (struct head){.form = PACKED};
    if (slot.size == 0 || bytes[0] == 0)
        return 0;
    if (bytes[0] != 1 || slot.size != HEAD_BYTES)
        return sfi_err(SF_ECORRUPT, "an actor's timers on disk are damaged");
    *out = (struct head){IN_ROWS, sfi_le64_get(bytes + 1), sfi_le64_get(bytes + 9)};
    return 0;
}

int sfi_schedule_check(sf_bytes slot)
{
    struct head head;
    struct item item;
    struct sfi_timer timer;
    size_t end = 1;
    int rc = read_head(slot, &head);
    if (rc < 0 || head.form == IN_ROWS)
        return rc;
    FOR_EACH_ITEM(slot, item) {
        rc = sfi_timer_decode(item.record, &timer);
        if (rc < 0)
            return rc;
        end = item.at + item.size;
    }
    return end == slot.size ? 0 : sfi_err(SF_ECORRUPT, "an actor's timers on disk are cut short");
}

/* -- loading and changing it ------------------------------------------------------------------- */

/* NULL in *out: there is no slot, and none was made. */
static int load(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot **out,
                struct head *head)
{
    sf_runtime *rt = work->rt;
    *out = NULL;
    *head = (struct head){.form = PACKED};
    if (!actor->type->has_timers)
        return 0;
    int rc = sfi_actor_load_slot(&rt->actors, rt->store, actor, SFI_SLOT_TIMERS, out);
    if (rc < 0)
        return sfi_work_unreadable(work, rc);
    rc = (*out)->data ? read_head(slot_bytes(*out), head) : 0;
    return rc < 0 ? sfi_work_unreadable(work, rc) : 0;
}

static int set_bytes(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot,
                     sf_bytes bytes)
{
    void *data = bytes.data ? sfi_alloc(work->rt->sys, bytes.size) : NULL;
    if (bytes.data && !data)
        return sfi_work_no_memory(work);
    if (data)
        memcpy(data, bytes.data, bytes.size);
    int rc = sfi_work_set_slot(work, actor, slot, data, bytes.size);
    return rc < 0 ? rc : sfi_work_charge(work, bytes.size);
}

static int set_head(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot,
                    uint64_t number, uint64_t count)
{
    unsigned char head[HEAD_BYTES] = {1};
    sfi_le64_put(head + 1, number);
    sfi_le64_put(head + 9, count);
    return set_bytes(work, actor, slot, count ? SF_BYTES(head, HEAD_BYTES) : SF_NONE);
}

/* The packed ones without `without`, and perhaps one more. */
static int repack(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot,
                  const struct item *without, sf_bytes name, sf_bytes record)
{
    sf_bytes old = slot->data ? slot_bytes(slot) : SF_BYTES("", 1);
    size_t cut_at = without ? without->at : old.size, cut = without ? without->size : 0;
    size_t size = old.size - cut + (name.data ? ITEM_HEAD + name.size + record.size : 0);
    unsigned char *bytes = sfi_arena_alloc(&work->arena, size);
    if (!bytes)
        return sfi_work_no_memory(work);
    memcpy(bytes, old.data, cut_at);
    memcpy(bytes + cut_at, (const char *)old.data + cut_at + cut, old.size - cut_at - cut);
    if (name.data)
        put_item(bytes + old.size - cut, name, record);
    return set_bytes(work, actor, slot, size > 1 ? SF_BYTES(bytes, size) : SF_NONE);
}

/* All that are packed, but for `without`, become rows. */
static int unpack(struct sfi_work *work, sf_bytes slot, const struct item *without, uint64_t number,
                  uint64_t *count)
{
    struct item item;
    int rc = 0;
    FOR_EACH_ITEM(slot, item) {
        if (without && item.at == without->at)
            continue;
        rc = put_row(work, number, item.name, item.record);
        if (rc < 0)
            return rc;
        (*count)++;
    }
    return 0;
}

/* One of that name more, of which there is `without` perhaps. */
static int put_packed(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot,
                      sf_bytes name, sf_bytes record)
{
    struct item found, *without = NULL;
    sf_bytes old = slot->data ? slot_bytes(slot) : SF_BYTES("", 1);
    if (find_item(old, name, &found))
        without = &found;
    if (old.size - (without ? without->size : 0) + ITEM_HEAD + name.size + record.size <=
        SMALL_BYTES)
        return repack(work, actor, slot, without, name, record);
    uint64_t number = work->rt->epoch.counters.next_number++, count = 1;
    int rc = unpack(work, old, without, number, &count);
    if (rc == 0)
        rc = put_row(work, number, name, record);
    return rc < 0 ? rc : set_head(work, actor, slot, number, count);
}

/* -- in all ------------------------------------------------------------------------------------ */

int sfi_schedule_get(struct sfi_work *work, struct sfi_actor *actor, sf_bytes name,
                     struct sfi_timer *out)
{
    struct sfi_slot *slot;
    struct head head;
    struct item item;
    if (!actor)
        return get_row(work, SFI_OUTSIDE_NUMBER, name, out);
    int rc = load(work, actor, &slot, &head);
    if (rc < 0 || !slot || !slot->data)
        return rc;
    if (head.form == IN_ROWS)
        return get_row(work, head.number, name, out);
    if (!find_item(slot_bytes(slot), name, &item))
        return 0;
    rc = sfi_timer_decode(item.record, out);
    return rc < 0 ? sfi_work_unreadable(work, rc) : 1;
}

/* From now on the type's record says that there may be some. */
static void note_use(struct sfi_work *work, struct sfi_type *type)
{
    if (type->has_timers)
        return;
    type->has_timers = 1;
    sfi_type_touch(&work->rt->types, type);
}

int sfi_schedule_put(struct sfi_work *work, struct sfi_actor *actor, sf_bytes name,
                     const struct sfi_timer *timer)
{
    unsigned char record[SFI_TIMER_RECORD_MAX];
    sf_bytes bytes = sfi_timer_encode(timer, record);
    struct sfi_slot *slot;
    struct sfi_timer before;
    struct head head;
    if (!actor)
        return put_row(work, SFI_OUTSIDE_NUMBER, name, bytes);
    note_use(work, actor->type);
    int rc = load(work, actor, &slot, &head);
    if (rc < 0)
        return rc;
    if (head.form == PACKED)
        return put_packed(work, actor, slot, name, bytes);
    int was_there = get_row(work, head.number, name, &before);
    rc = was_there < 0 ? was_there : put_row(work, head.number, name, bytes);
    return rc < 0 || was_there ? rc : set_head(work, actor, slot, head.number, head.count + 1);
}

int sfi_schedule_delete(struct sfi_work *work, struct sfi_actor *actor, sf_bytes name)
{
    struct sfi_slot *slot;
    struct head head;
    struct item item;
    if (!actor)
        return delete_row(work, SFI_OUTSIDE_NUMBER, name);
    int rc = load(work, actor, &slot, &head);
    if (rc < 0 || !slot || !slot->data)
        return rc;
    if (head.form == PACKED)
        return find_item(slot_bytes(slot), name, &item)
                   ? repack(work, actor, slot, &item, SF_NONE, SF_NONE)
                   : 0;
    rc = delete_row(work, head.number, name);
    return rc < 0 ? rc : set_head(work, actor, slot, head.number, head.count - 1);
}

/* -- forgotten --------------------------------------------------------------------------------- */

static int promise(struct sfi_work *work, uint64_t number)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + PROMISE_BYTES;
    sfi_key_promise(&key, number);
    unsigned char *record =
        sfi_batch_put(sfi_work_batch(work), SFI_ENTRY, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_work_no_memory(work);
    record[SFI_RECORD_HEADER] = 0;
    sfi_le64_put(record + SFI_RECORD_HEADER + 1, UINT64_MAX); /* all of it */
    sfi_record_finish(record, size, SFI_RECORD_PROMISE, sfi_key_bytes(&key));
    return 0;
}

int sfi_schedule_forget(struct sfi_work *work, struct sfi_actor *actor)
{
    struct sfi_slot *slot;
    struct head head;
    struct item item;
    int rc = load(work, actor, &slot, &head);
    if (rc < 0 || !slot || !slot->data)
        return rc;
    if (head.form == IN_ROWS)
        return promise(work, head.number);
    FOR_EACH_ITEM(slot_bytes(slot), item) {
        struct sfi_timer timer;
        struct sfi_key key;
        if (sfi_timer_decode(item.record, &timer) < 0)
            continue;
        sfi_key_timer(&key, timer.row_due_ms, timer.row_sequence);
        if (sfi_batch_delete(sfi_work_batch(work), SFI_TIMER, sfi_key_bytes(&key)) < 0)
            return sfi_work_no_memory(work);
        sfi_fire_forget(work->rt, timer.row_due_ms, timer.row_sequence);
    }
    return 0;
}
