#include "actor/egress.h"

#include <string.h>

#include "actor/key.h"
#include "base/copy.h"
#include "base/err.h"
#include "store/record.h"

enum {
    ROWS_MAX = 1 << 16, /* deleted in one epoch, as many as an epoch may add */
    TRIM_MIN = 1024,    /* more than an epoch added, at least; */
    TRIM_PART = 8,      /* and that part of what waits */
    RETRY_MIN_MS = 20,
    RETRY_MAX_MS = 2000,
    RETRY_PART = 4,          /* of the time that nothing was acknowledged */
    RETRY_APART_NS = 250000, /* so many tries in a second, and no more */
    ROW_HEAD_1 = 4 + 1 + 2,  /* beside id, kind and body; of version 1 */
    ROW_HEAD = ROW_HEAD_1 + 1 + 8,
    COUNTERS_SIZE_1 = 4 + 3 * 8,
    COUNTERS_SIZE = 4 + 5 * 8
};

void sfi_egresses_init(struct sfi_egresses *egresses, const struct sfi_sys *sys,
                       uint64_t records_max, uint64_t bytes_max)
{
    *egresses = (struct sfi_egresses){
        .sys = sys, .next_number = 1, .records_max = records_max, .bytes_max = bytes_max};
    egresses->key.low = sys->random(sys->ctx);
    egresses->key.high = sys->random(sys->ctx);
    sfi_lookup_init(&egresses->names, sys);
    sfi_lookup_init(&egresses->pointers, sys);
    sfi_lookup_init(&egresses->numbers, sys);
    sfi_heap_init(&egresses->pauses, sys);
}

void sfi_egresses_fini(struct sfi_egresses *egresses)
{
    for (struct sfi_egress *egress = egresses->first, *next; egress; egress = next) {
        next = egress->next_egress;
        sfi_free(egresses->sys, egress);
    }
    sfi_lookup_fini(&egresses->names);
    sfi_lookup_fini(&egresses->pointers);
    sfi_lookup_fini(&egresses->numbers);
    sfi_heap_fini(&egresses->pauses);
    *egresses = (struct sfi_egresses){.sys = egresses->sys};
}

/* -- found by name ----------------------------------------------------------------------------- */

static uint64_t hash_name(const struct sfi_egresses *egresses, const char *name, size_t size)
{
    return sfi_hash(&egresses->key, 0, name, size);
}

static uint64_t hash_pointer(const char *name)
{
    uint64_t hash = (uint64_t)(uintptr_t)name * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* What is registered under that pointer, whatever it points to by now. */
static struct sfi_egress *find_pointer(const struct sfi_egresses *egresses, const char *name)
{
    struct sfi_egress *egress;
    for (uint32_t at = 0; (egress = sfi_lookup_next(&egresses->pointers, hash_pointer(name), &at));)
        if (egress->registered_name == name)
            return egress;
    return NULL;
}

static struct sfi_egress *find_name(const struct sfi_egresses *egresses, const char *name,
                                    size_t size)
{
    struct sfi_egress *egress;
    uint64_t hash = hash_name(egresses, name, size);
    for (uint32_t at = 0; (egress = sfi_lookup_next(&egresses->names, hash, &at));)
        if (strncmp(egress->name, name, size) == 0 && egress->name[size] == 0)
            return egress;
    return NULL;
}

struct sfi_egress *sfi_egresses_find(const struct sfi_egresses *egresses, const char *name)
{
    struct sfi_egress *egress = find_pointer(egresses, name);
    return egress && strcmp(egress->name, name) == 0 ? egress
                                                     : find_name(egresses, name, strlen(name));
}

static int reserve(struct sfi_egresses *egresses)
{
    if (sfi_lookup_reserve(&egresses->names) < 0 || sfi_lookup_reserve(&egresses->numbers) < 0 ||
        sfi_heap_reserve(&egresses->pauses, egresses->count + 1) < 0)
        return SF_ENOMEM;
    return 0;
}

/* NULL: no memory. */
static struct sfi_egress *add(struct sfi_egresses *egresses, const char *name, size_t size,
                              uint32_t number)
{
    struct sfi_egress *egress =
        reserve(egresses) < 0 ? NULL : sfi_zalloc(egresses->sys, sizeof *egress + size + 1);
    if (!egress)
        return NULL;
    memcpy(egress->name, name, size);
    egress->number = number;
    egress->next = 1;
    egress->next_egress = egresses->first;
    egresses->first = egress;
    egresses->count++;
    if (egresses->next_number <= number)
        egresses->next_number = number + 1;
    sfi_lookup_add(&egresses->names, hash_name(egresses, name, size), egress);
    sfi_lookup_add(&egresses->numbers, number, egress);
    return egress;
}

static struct sfi_egress *find_number(const struct sfi_egresses *egresses, uint32_t number)
{
    struct sfi_egress *egress;
    for (uint32_t at = 0; (egress = sfi_lookup_next(&egresses->numbers, number, &at));)
        if (egress->number == number)
            return egress;
    return NULL;
}

/* A pointer stands for the egress that was registered with it last. */
static void set_pointer(struct sfi_egresses *egresses, struct sfi_egress *egress, const char *name)
{
    struct sfi_egress *other = find_pointer(egresses, name);
    if (other) {
        sfi_lookup_remove(&egresses->pointers, hash_pointer(name), other);
        other->registered_name = NULL;
    }
    if (egress->registered_name)
        sfi_lookup_remove(&egresses->pointers, hash_pointer(egress->registered_name), egress);
    egress->registered_name = name;
    sfi_lookup_add(&egresses->pointers, hash_pointer(name), egress);
}

static struct sfi_egress *find_or_add(struct sfi_egresses *egresses, const char *name)
{
    struct sfi_egress *egress = sfi_egresses_find(egresses, name);
    if (egress)
        return egress;
    egress = add(egresses, name, strlen(name), egresses->next_number);
    if (egress)
        sfi_egress_push(egresses, SFI_EGRESS_CHANGED, egress);
    return egress;
}

int sfi_egresses_register(struct sfi_egresses *egresses, const char *name, sf_egress *callback,
                          void *userdata)
{
    if (egresses->count >= SF_EGRESSES_MAX && !sfi_egresses_find(egresses, name))
        return sfi_err(SF_EINVAL, "there are %d egresses already, and no more are possible",
                       SF_EGRESSES_MAX);
    struct sfi_egress *egress =
        sfi_lookup_reserve(&egresses->pointers) < 0 ? NULL : find_or_add(egresses, name);
    if (!egress)
        return sfi_err(SF_ENOMEM, "out of memory");
    set_pointer(egresses, egress, name);
    egress->callback = callback;
    egress->userdata = userdata;
    egress->failures = 0;
    sfi_heap_remove(&egresses->pauses, &egress->pause);
    sfi_egress_ready(egresses, egress);
    return 0;
}

/* -- who went longest without an acknowledgement ----------------------------------------------- */

static void unlink_stalled(struct sfi_egresses *egresses, struct sfi_egress *egress)
{
    if (!egress->is_stalled)
        return;
    *(egress->earlier ? &egress->earlier->later : &egresses->stalled_first) = egress->later;
    *(egress->later ? &egress->later->earlier : &egresses->stalled_last) = egress->earlier;
    egress->later = egress->earlier = NULL;
    egress->is_stalled = 0;
}

/* From now on, if it has records that are not acknowledged. */
static void restart_stalled(struct sfi_egresses *egresses, struct sfi_egress *egress)
{
    unlink_stalled(egresses, egress);
    if (egress->acked == egress->kept)
        return;
    egress->is_stalled = 1;
    egress->stalled_since_ns = egresses->sys->mono_ns(egresses->sys->ctx);
    egress->earlier = egresses->stalled_last;
    *(egress->earlier ? &egress->earlier->later : &egresses->stalled_first) = egress;
    egresses->stalled_last = egress;
}

uint64_t sfi_egress_stalled_ns(const struct sfi_egresses *egresses, const struct sfi_egress *egress)
{
    const struct sfi_sys *sys = egresses->sys;
    return egress && egress->is_stalled ? sys->mono_ns(sys->ctx) - egress->stalled_since_ns : 0;
}

uint64_t sfi_egresses_stalled_ns(const struct sfi_egresses *egresses)
{
    return sfi_egress_stalled_ns(egresses, egresses->stalled_first);
}

/* -- emitted, and how much --------------------------------------------------------------------- */

int sfi_egress_check(const struct sfi_egresses *egresses, const struct sfi_egress *egress)
{
    uint64_t records = egress->kept - egress->acked,
             bytes = egress->kept_bytes - egress->acked_bytes;
    if (records < egresses->records_max && bytes < egresses->bytes_max)
        return 0;
    return sfi_err(SF_EAGAIN, "egress '%.200s' is full: %llu records, %llu bytes wait for its sink",
                   egress->name, (unsigned long long)records, (unsigned long long)bytes);
}

static uint64_t between(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

uint64_t sfi_egress_retry_ms(struct sfi_egresses *egresses, struct sfi_egress *egress)
{
    uint64_t now_ns = egresses->sys->mono_ns(egresses->sys->ctx);
    uint64_t wait_ms = between(sfi_egress_stalled_ns(egresses, egress) / 1000000 / RETRY_PART,
                               RETRY_MIN_MS, RETRY_MAX_MS);
    uint64_t due_ns = now_ns + wait_ms * 1000000, next_ns = egress->retry_ns + RETRY_APART_NS;
    egress->retry_ns = due_ns > next_ns ? due_ns : next_ns;
    return (egress->retry_ns - now_ns) / 1000000;
}

void sfi_egress_keep(struct sfi_egresses *egresses, struct sfi_egress *egress)
{
    uint64_t records = egress->next - 1 - egress->kept;
    egress->kept = egress->next - 1;
    egress->kept_bytes = egress->bytes;
    egresses->lag += records;
    egresses->emitted += records;
    if (!egress->is_stalled)
        restart_stalled(egresses, egress);
    sfi_egress_push(egresses, SFI_EGRESS_CHANGED, egress);
}

/* -- rows -------------------------------------------------------------------------------------- */

static unsigned char *put_head(unsigned char *at, const struct sfi_actor *from, size_t kind_size,
                               int body_absent, uint64_t written)
{
    sfi_le32_put(at, from->type->number);
    at[4] = from->id_size;
    sfi_copy(at + 5, from->id, from->id_size);
    at += 5 + from->id_size;
    sfi_le16_put(at, (uint16_t)kind_size);
    at[2] = (unsigned char)body_absent;
    sfi_le64_put(at + 3, written);
    return at + 11;
}

int sfi_egress_put(struct sfi_egress *egress, struct sfi_batch *batch, const struct sfi_actor *from,
                   const char *kind, size_t kind_size, sf_bytes body)
{
    struct sfi_key key;
    uint64_t written = egress->bytes + SFI_EGRESS_RECORD_BYTES + body.size;
    size_t size = SFI_RECORD_HEADER + ROW_HEAD + from->id_size + kind_size + body.size;
    sfi_key_outbox(&key, egress->number, egress->next);
    unsigned char *record = sfi_batch_put(batch, SFI_OUTBOX, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    unsigned char *at =
        put_head(record + SFI_RECORD_HEADER, from, kind_size, body.data == NULL, written);
    memcpy(at, kind, kind_size);
    if (body.size)
        memcpy(at + kind_size, body.data, body.size);
    sfi_record_finish(record, size, SFI_RECORD_OUTBOX, sfi_key_bytes(&key));
    egress->next++;
    egress->bytes = written;
    return 0;
}

static int cut_short(const struct sfi_egress *egress)
{
    return sfi_err(SF_ECORRUPT, "a record of egress '%s' is cut short", egress->name);
}

/* A row in parts, pointing into it. */
struct row {
    uint32_t type;
    uint64_t written;
    int body_absent;
    sf_bytes id, kind, body;
};

static int parse(const struct sfi_egress *egress, sf_bytes key, sf_bytes record, struct row *out)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_OUTBOX, &payload);
    if (rc < 0)
        return rc;
    const unsigned char *at = payload.data;
    int is_first = sfi_record_version(record) == 1;
    size_t head = is_first ? ROW_HEAD_1 : ROW_HEAD;
    if (payload.size < head || payload.size - head < at[4])
        return cut_short(egress);
    size_t left = payload.size - head - at[4];
    *out = (struct row){.type = sfi_le32_get(at), .id = SF_BYTES(at + 5, at[4])};
    at += 5 + at[4];
    size_t kind_size = sfi_le16_get(at);
    if (!is_first) {
        out->body_absent = at[2];
        out->written = sfi_le64_get(at + 3);
    }
    at += is_first ? 2 : 11;
    if (kind_size > SF_KIND_MAX || left < kind_size || (out->body_absent && left != kind_size) ||
        out->body_absent > 1)
        return cut_short(egress);
    out->kind = SF_BYTES(at, kind_size);
    out->body = SF_BYTES(at + kind_size, left - kind_size);
    return 0;
}

static int lend(const struct row *row, struct sfi_type *type, uint64_t sequence,
                struct sfi_arena *arena, sf_message *out)
{
    const char *id = sfi_arena_copy(arena, row->id.data, row->id.size);
    const char *kind = sfi_arena_copy(arena, row->kind.data, row->kind.size);
    void *body = sfi_arena_copy(arena, row->body.data, row->body.size);
    if (!id || !kind || !body)
        return sfi_err(SF_ENOMEM, "out of memory");
    *out =
        (sf_message){.from = {type->shown, {id, row->id.size}},
                     .to = {NULL, {"", 0}},
                     .kind = kind,
                     .body = row->body_absent ? SF_NONE : SF_BYTES(body, row->body.size),
                     .attempt = 1,
                     .sequence = sequence,
                     .reason = ""};
    return 0;
}

int sfi_egress_read(const struct sfi_egress *egress, sf_bytes key, sf_bytes record,
                    struct sfi_types *types, struct sfi_arena *arena, sf_message *out,
                    uint64_t *written)
{
    struct row row;
    int rc = parse(egress, key, record, &row);
    if (rc < 0)
        return rc;
    struct sfi_type *type = sfi_types_number(types, row.type);
    if (!type)
        return sfi_err(SF_ECORRUPT, "a record of egress '%s' comes from a type that does not exist",
                       egress->name);
    *written = row.written;
    return lend(&row, type, sfi_be64_get((const unsigned char *)key.data + 4), arena, out);
}

uint64_t sfi_egress_written(const struct sfi_egress *egress, sf_bytes key, sf_bytes record)
{
    struct row row;
    return parse(egress, key, record, &row) == 0 ? row.written : 0;
}

/* -- delivered, refused, acknowledged ---------------------------------------------------------- */

void sfi_egress_delivered(struct sfi_egresses *egresses, struct sfi_egress *egress,
                          uint64_t sequence)
{
    egresses->undelivered -= sequence - egress->delivered;
    egress->delivered = sequence;
}

void sfi_egress_ready(struct sfi_egresses *egresses, struct sfi_egress *egress)
{
    if (egress->callback && !egress->is_fenced && egress->delivered < egress->safe &&
        egress->pause.position == SFI_HEAP_OUT)
        sfi_egress_push(egresses, SFI_EGRESS_READY, egress);
}

void sfi_egress_pause(struct sfi_egresses *egresses, struct sfi_egress *egress, uint64_t due_ns)
{
    sfi_heap_remove(&egresses->pauses, &egress->pause);
    (void)sfi_heap_push(&egresses->pauses, &egress->pause, due_ns); /* its room is reserved */
}

void sfi_egress_fence(struct sfi_egresses *egresses, struct sfi_egress *egress)
{
    egresses->fenced += !egress->is_fenced;
    egress->is_fenced = 1;
}

/* Perhaps what is damaged was acknowledged. */
static void unfence(struct sfi_egresses *egresses, struct sfi_egress *egress)
{
    egresses->fenced -= egress->is_fenced;
    egress->is_fenced = 0;
    sfi_egress_ready(egresses, egress);
}

void sfi_egresses_wake(struct sfi_egresses *egresses, uint64_t now_ns)
{
    for (struct sfi_heap_node *node;
         (node = sfi_heap_first(&egresses->pauses)) && node->due <= now_ns;) {
        struct sfi_egress *egress =
            (struct sfi_egress *)((char *)node - offsetof(struct sfi_egress, pause));
        sfi_heap_remove(&egresses->pauses, node);
        sfi_egress_ready(egresses, egress);
    }
}

/* Rows without `written` count nothing, neither here nor in kept_bytes. */
static void count_acked_bytes(struct sfi_egress *egress, uint64_t written)
{
    if (egress->acked == egress->kept)
        egress->acked_bytes = egress->kept_bytes;
    else if (written > egress->acked_bytes && written <= egress->kept_bytes)
        egress->acked_bytes = written;
}

void sfi_egress_acknowledge(struct sfi_egresses *egresses, struct sfi_egress *egress,
                            uint64_t sequence, uint64_t written)
{
    if (sequence <= egress->acked)
        return;
    egresses->lag -= sequence - egress->acked;
    egresses->untrimmed += sequence - egress->acked;
    egress->acked = sequence;
    egress->retry_ns = 0;
    count_acked_bytes(egress, written);
    if (egress->delivered < sequence)
        sfi_egress_delivered(egresses, egress, sequence);
    restart_stalled(egresses, egress);
    sfi_egress_push(egresses, SFI_EGRESS_CHANGED, egress);
    if (egress->is_fenced)
        unfence(egresses, egress);
}

/* -- seal and publish -------------------------------------------------------------------------- */

static int save_counters(const struct sfi_egress *egress, struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + COUNTERS_SIZE;
    sfi_key_meta(&key, SFI_META_EGRESS, egress->name);
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), size);
    if (!record)
        return SF_ENOMEM;
    unsigned char *at = record + SFI_RECORD_HEADER;
    sfi_le32_put(at, egress->number);
    sfi_le64_put(at + 4, egress->next);
    sfi_le64_put(at + 12, egress->acked);
    sfi_le64_put(at + 20, egress->trim_to);
    sfi_le64_put(at + 28, egress->bytes);
    sfi_le64_put(at + 36, egress->acked_bytes);
    sfi_record_finish(record, size, SFI_RECORD_EGRESS, sfi_key_bytes(&key));
    return 0;
}

/* As many rows as this epoch adds and a share of what waits (4). */
static uint64_t trim_budget(const struct sfi_egresses *egresses)
{
    uint64_t share = egresses->untrimmed / TRIM_PART;
    uint64_t rows = egresses->emitted + (share > TRIM_MIN ? share : TRIM_MIN);
    return rows < ROWS_MAX ? rows : ROWS_MAX;
}

static int trim(struct sfi_egress *egress, struct sfi_batch *batch, uint64_t *budget)
{
    struct sfi_key key;
    uint64_t rows = egress->acked - egress->trimmed;
    int rc = 0;
    rows = rows < *budget ? rows : *budget;
    *budget -= rows;
    egress->trim_to = egress->trimmed + rows;
    for (uint64_t s = egress->trimmed + 1; s <= egress->trim_to && rc == 0; s++) {
        sfi_key_outbox(&key, egress->number, s);
        rc = sfi_batch_delete(batch, SFI_OUTBOX, sfi_key_bytes(&key));
    }
    return rc;
}

int sfi_egresses_save(struct sfi_egresses *egresses, struct sfi_batch *batch)
{
    uint64_t budget = trim_budget(egresses);
    int rc = 0;
    for (struct sfi_egress *egress = egresses->lists[SFI_EGRESS_CHANGED].first; egress && rc == 0;
         egress = egress->links[SFI_EGRESS_CHANGED]) {
        rc = trim(egress, batch, &budget);
        if (rc == 0)
            rc = save_counters(egress, batch);
    }
    return rc < 0 ? sfi_err(SF_ENOMEM, "out of memory") : 0;
}

/* How many of its rows are deleted with this epoch. */
static uint64_t saved(struct sfi_egresses *egresses, struct sfi_egress *egress)
{
    uint64_t rows = egress->trim_to - egress->trimmed;
    egresses->untrimmed -= rows;
    egress->trimmed = egress->trim_to;
    if (egress->sealed < egress->kept)
        sfi_egress_push(egresses, SFI_EGRESS_SEALED, egress);
    egress->sealed = egress->kept;
    return rows;
}

/* Whom the budget did not reach comes first next time, and last the one where it ended. */
void sfi_egresses_saved(struct sfi_egresses *egresses)
{
    struct sfi_egress *last = egresses->lists[SFI_EGRESS_CHANGED].last, *egress = NULL, *cut = NULL;
    while (egress != last && (egress = sfi_egress_pop(egresses, SFI_EGRESS_CHANGED))) {
        uint64_t rows = saved(egresses, egress);
        if (egress->trimmed == egress->acked)
            continue;
        if (rows)
            cut = egress;
        else
            sfi_egress_push(egresses, SFI_EGRESS_CHANGED, egress);
    }
    if (cut)
        sfi_egress_push(egresses, SFI_EGRESS_CHANGED, cut);
    egresses->emitted = 0;
}

void sfi_egresses_durable(struct sfi_egresses *egresses)
{
    for (struct sfi_egress *egress; (egress = sfi_egress_pop(egresses, SFI_EGRESS_SEALED));) {
        egress->durable = egress->sealed;
        sfi_egress_push(egresses, SFI_EGRESS_UNSAFE, egress);
    }
}

void sfi_egresses_safe(struct sfi_egresses *egresses)
{
    for (struct sfi_egress *egress; (egress = sfi_egress_pop(egresses, SFI_EGRESS_UNSAFE));) {
        egresses->undelivered += egress->durable - egress->safe;
        egresses->fresh += egress->durable - egress->safe;
        egress->safe = egress->durable;
        sfi_egress_ready(egresses, egress);
    }
}

/* -- open -------------------------------------------------------------------------------------- */

/* Counters that cannot be: rows would be read, or deleted, that are somebody else's or nobody's. */
static int check_counters(const struct sfi_egresses *egresses, const struct sfi_egress *found)
{
    if (found->number == 0 || found->number == UINT32_MAX || find_number(egresses, found->number))
        return sfi_err(SF_ECORRUPT, "two egresses have the number %u, or it is none",
                       found->number);
    if (found->next == 0 || found->acked >= found->next || found->trimmed > found->acked ||
        found->acked_bytes > found->bytes)
        return sfi_err(SF_ECORRUPT,
                       "the counters of an egress contradict each other: next %llu, "
                       "acknowledged %llu, deleted %llu",
                       (unsigned long long)found->next, (unsigned long long)found->acked,
                       (unsigned long long)found->trimmed);
    return 0;
}

static int read_counters(sf_bytes payload, unsigned version, struct sfi_egress *out)
{
    const unsigned char *at = payload.data;
    if (payload.size != (version == 1 ? COUNTERS_SIZE_1 : COUNTERS_SIZE))
        return sfi_err(SF_ECORRUPT, "the record of an egress has %zu bytes", payload.size);
    *out = (struct sfi_egress){.number = sfi_le32_get(at),
                               .next = sfi_le64_get(at + 4),
                               .acked = sfi_le64_get(at + 12),
                               .trimmed = sfi_le64_get(at + 20)};
    if (version > 1) {
        out->bytes = sfi_le64_get(at + 28);
        out->acked_bytes = sfi_le64_get(at + 36);
    }
    return 0;
}

static void adopt(struct sfi_egresses *egresses, struct sfi_egress *egress,
                  const struct sfi_egress *found)
{
    egress->next = found->next;
    egress->acked = egress->delivered = found->acked;
    egress->trimmed = egress->trim_to = found->trimmed;
    egress->kept = egress->sealed = egress->durable = egress->safe = found->next - 1;
    egress->bytes = egress->kept_bytes = found->bytes;
    egress->acked_bytes = found->acked_bytes;
    egresses->lag += egress->kept - egress->acked;
    egresses->undelivered += egress->safe - egress->delivered;
    egresses->untrimmed += egress->acked - egress->trimmed;
    restart_stalled(egresses, egress);
    if (egress->trimmed < egress->acked)
        sfi_egress_push(egresses, SFI_EGRESS_CHANGED, egress);
}

int sfi_egress_load(struct sfi_egresses *egresses, sf_bytes key, sf_bytes record)
{
    sf_bytes payload;
    struct sfi_egress found = {0};
    int rc = sfi_record_open(record, key, SFI_RECORD_EGRESS, &payload);
    if (rc == 0)
        rc = read_counters(payload, sfi_record_version(record), &found);
    if (rc == 0)
        rc = check_counters(egresses, &found);
    if (rc < 0)
        return rc;
    struct sfi_egress *egress =
        add(egresses, (const char *)key.data + 1, key.size - 1, found.number);
    if (!egress)
        return sfi_err(SF_ENOMEM, "out of memory");
    adopt(egresses, egress, &found);
    return 0;
}
