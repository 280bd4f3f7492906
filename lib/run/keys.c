#include "run/keys.h"

#include <string.h>

#include "actor/key.h"
#include "actor/rows.h"
#include "base/err.h"
#include "run/command.h"
#include "run/part.h"
#include "run/runtime.h"
#include "store/record.h"

enum {
    SLICE_MIN = 64,
    TIME_KEY_HEAD = 17,      /* number, order, time */
    KEY_RECORD_BYTES = 5 + 8 /* of an entry form:1 version:4, both 0; the time */
};

#define LOOK_NS (UINT64_C(60) * 1000000000)
#define RETRY_NS (UINT64_C(1) * 1000000000)

void sfi_keys_init(struct sfi_keys *keys, uint64_t keep_ms)
{
    *keys = (struct sfi_keys){.keep_ms = keep_ms};
}

static int is_over(const struct sfi_keys *keys, uint64_t taken_ms, uint64_t now_ms)
{
    return now_ms >= taken_ms && now_ms - taken_ms >= keys->keep_ms;
}

static struct sfi_rows rows_in(sf_runtime *rt, struct sfi_arena *arena)
{
    struct sfi_epoch *epoch = &rt->epoch;
    return (struct sfi_rows){.store = rt->store,
                             .open = sfi_epoch_batch(epoch),
                             .sealed = &epoch->batches[!epoch->open],
                             .arena = arena};
}

/* -- taken in ---------------------------------------------------------------------------------- */

/* 1: it is there, and since when; 0: it is not, or damaged (4); negative. */
static int find(struct sfi_work *work, sf_bytes name, uint64_t *taken_ms)
{
    struct sfi_key key;
    struct sfi_rows rows = rows_in(work->rt, &work->arena);
    sf_bytes record, payload;
    sfi_key_entry(&key, SFI_KEYS_NUMBER, name);
    int rc = sfi_rows_get(&rows, SFI_ENTRY, sfi_key_bytes(&key), &record);
    if (rc <= 0)
        return rc;
    if (sfi_record_open(record, sfi_key_bytes(&key), SFI_RECORD_ENTRY, &payload) < 0 ||
        payload.size != KEY_RECORD_BYTES)
        return 0;
    *taken_ms = sfi_le64_get((const char *)payload.data + KEY_RECORD_BYTES - 8);
    return 1;
}

static int delete_time(struct sfi_work *work, sf_bytes name, uint64_t taken_ms)
{
    struct sfi_key key;
    sfi_key_entry_time(&key, SFI_KEYS_NUMBER, taken_ms, name);
    if (sfi_batch_delete(sfi_work_batch(work), SFI_ENTRY, sfi_key_bytes(&key)) < 0)
        return sfi_work_no_memory(work);
    return 0;
}

static int put(struct sfi_work *work, sf_bytes name, uint64_t now_ms)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + KEY_RECORD_BYTES;
    struct sfi_batch *batch = sfi_work_batch(work);
    sfi_key_entry(&key, SFI_KEYS_NUMBER, name);
    unsigned char *record = sfi_batch_put(batch, SFI_ENTRY, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_work_no_memory(work);
    memset(record + SFI_RECORD_HEADER, 0, KEY_RECORD_BYTES);
    sfi_le64_put(record + size - 8, now_ms);
    sfi_record_finish(record, size, SFI_RECORD_ENTRY, sfi_key_bytes(&key));
    sfi_key_entry_time(&key, SFI_KEYS_NUMBER, now_ms, name);
    if (!sfi_batch_put(batch, SFI_ENTRY, sfi_key_bytes(&key), 0))
        return sfi_work_no_memory(work);
    return 0;
}

/* 1: it is new, and counts from now on; 0: it came in before; negative. */
static int take_key(struct sfi_work *work, sf_bytes name)
{
    struct sfi_keys *keys = &work->rt->keys;
    uint64_t now_ms = sfi_work_now_ms(work), taken_ms;
    int rc = find(work, name, &taken_ms);
    if (rc > 0 && !is_over(keys, taken_ms, now_ms))
        return 0;
    if (rc > 0)
        rc = delete_time(work, name, taken_ms);
    if (rc == 0)
        rc = put(work, name, now_ms);
    return rc < 0 ? rc : 1;
}

static int take_message(struct sfi_work *work, const struct sfi_command *command, uint64_t hash)
{
    sf_runtime *rt = work->rt;
    struct sfi_letter letter = {.to_type = command->type,
                                .hash = hash,
                                .to_id = command->id,
                                .to_size = command->id_size,
                                .from_id = "",
                                .kind = command->kind,
                                .kind_size = command->kind_size,
                                .body = command->text};
    struct sfi_message *message = sfi_message_new(&rt->mailbox.pool, &letter);
    if (!message)
        return sfi_work_no_memory(work);
    rt->inbox.message_bytes += sfi_message_bytes(message);
    sfi_list_push(&work->sent, message);
    return 0;
}

/* There is one of now, and of whatever the clock says. */
static void expect(struct sfi_keys *keys, uint64_t now_ms, uint64_t now_ns)
{
    keys->taken++;
    if (keys->is_any && keys->first_ms <= now_ms)
        return;
    keys->is_any = 1;
    keys->first_ms = now_ms;
    keys->look_ns = now_ns;
}

static int execute_once(sf_runtime *rt, const struct sfi_command *command)
{
    struct sfi_work *work = &rt->turns.work;
    uint64_t hash = sfi_actors_hash(&rt->actors, command->type, command->id, command->id_size);
    sfi_work_begin(work);
    int is_new = take_key(work, command->token);
    int rc = is_new > 0 ? take_message(work, command, hash) : is_new;
    if (rc < 0) {
        sfi_work_undo(work);
        return rc;
    }
    if (is_new)
        expect(&rt->keys, sfi_work_now_ms(work), rt->sys->mono_ns(rt->sys->ctx));
    else
        sfi_crowd_left(rt, command->type, hash);
    sfi_work_keep(work);
    return 0;
}

const struct sfi_verb sfi_verb_once = {"send once", SFI_SENDS, execute_once};

/* -- swept ------------------------------------------------------------------------------------- */

/* Where a sweep stands in the order of time. */
struct place {
    struct sfi_key key;
    int is_done; /* that one is swept: what is after it */
};

static struct place first_place(const sf_runtime *rt)
{
    struct place place = {.is_done = 0};
    sfi_key_entry_time(&place.key, SFI_KEYS_NUMBER, rt->keys.first_ms, SF_BYTES("", 0));
    return place;
}

/* Goes to the next one; what is read lies in the arena of delivery, which is idle meanwhile.  1; 0: there is none;
 * negative. */
static int seek(sf_runtime *rt, struct place *place, uint64_t *taken_ms)
{
    struct sfi_rows rows = rows_in(rt, &rt->delivery);
    sf_bytes found, value;
    sfi_arena_reset(&rt->delivery);
    int rc =
        sfi_rows_seek(&rows, SFI_ENTRY, sfi_key_bytes(&place->key), place->is_done, &found, &value);
    if (rc <= 0)
        return rc;
    const unsigned char *bytes = found.data;
    if (found.size < TIME_KEY_HEAD || sfi_be64_get(bytes) != SFI_KEYS_NUMBER ||
        bytes[8] != SFI_ENTRY_BY_TIME)
        return 0;
    *taken_ms = sfi_be64_get(bytes + TIME_KEY_HEAD - 8);
    memcpy(place->key.bytes, bytes, found.size);
    place->key.size = found.size;
    place->is_done = 0;
    return 1;
}

/* Both rows in one work, so that neither is there without the other. */
static int sweep_row(sf_runtime *rt, const struct sfi_key *time_key)
{
    struct sfi_work *work = &rt->turns.work;
    struct sfi_key key;
    sfi_key_entry(&key, SFI_KEYS_NUMBER,
                  SF_BYTES(time_key->bytes + TIME_KEY_HEAD, time_key->size - TIME_KEY_HEAD));
    sfi_work_begin(work);
    if (sfi_batch_delete(sfi_work_batch(work), SFI_ENTRY, sfi_key_bytes(&key)) < 0 ||
        sfi_batch_delete(sfi_work_batch(work), SFI_ENTRY, sfi_key_bytes(time_key)) < 0) {
        sfi_work_undo(work);
        return SF_ENOMEM;
    }
    sfi_work_keep(work);
    return 0;
}

/* 1: there may be more that are over; 0: not now; negative. */
static int sweep_next(sf_runtime *rt, struct place *place, uint64_t now_ms)
{
    struct sfi_keys *keys = &rt->keys;
    uint64_t taken_ms;
    int rc = seek(rt, place, &taken_ms);
    if (rc <= 0) {
        keys->is_any = rc < 0;
        return rc;
    }
    keys->first_ms = taken_ms;
    if (!is_over(keys, taken_ms, now_ms))
        return 0;
    rc = sweep_row(rt, &place->key);
    place->is_done = rc == 0;
    return rc < 0 ? rc : 1;
}

/* Says when to come again: at once; when the first is over, or the clock may have been set; later. */
static void sweep_slice(sf_runtime *rt, uint64_t now_ns)
{
    struct sfi_keys *keys = &rt->keys;
    uint64_t now_ms = rt->sys->wall_ms(rt->sys->ctx), most = 2 * keys->taken + SLICE_MIN;
    struct place place = first_place(rt);
    int rc = 1;
    for (uint64_t i = 0; i < most && rc > 0; i++)
        rc = sweep_next(rt, &place, now_ms);
    keys->taken = 0;
    uint64_t age_ms = now_ms > keys->first_ms ? now_ms - keys->first_ms : 0;
    uint64_t left_ms = keys->keep_ms > age_ms ? keys->keep_ms - age_ms : 0;
    uint64_t left_ns = left_ms < LOOK_NS / 1000000 ? left_ms * 1000000 : LOOK_NS;
    keys->look_ns = now_ns + (rc < 0 ? RETRY_NS : rc > 0 ? 0 : left_ns);
}

static uint64_t due(sf_runtime *rt)
{
    return rt->keys.is_any ? rt->keys.look_ns : 0;
}

static void wake(sf_runtime *rt, uint64_t now_ns)
{
    if (rt->keys.is_any && rt->keys.look_ns <= now_ns)
        sweep_slice(rt, now_ns);
}

static int ready(sf_runtime *rt, uint64_t now_ns)
{
    return rt->keys.is_any && rt->keys.look_ns <= now_ns;
}

/* Those of former runs. */
static int loaded(sf_runtime *rt)
{
    struct place place = first_place(rt);
    int rc = seek(rt, &place, &rt->keys.first_ms);
    rt->keys.is_any = rc > 0;
    return rc < 0 ? rc : 0;
}

const struct sfi_part sfi_part_keys = {
    .name = "idempotency keys", .due = due, .wake = wake, .ready = ready, .loaded = loaded};
