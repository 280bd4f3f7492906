/* turn.c - the public functions that take a turn: check what a handler may pass, then hand on. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "actor/named.h"
#include "api/check.h"
#include "api/in_turn.h"
#include "base/err.h"
#include "run/call.h"
#include "run/guard.h"
#include "run/runtime.h"

static struct sfi_work *work_of(sf_turn *turn)
{
    return &turn->rt->turns.work;
}

/* Only the innermost turn may do something; after its handler returned the object is no turn any more.  One that
 * waits for a turn which it called, and is used there, is a fault of the program. */
static __attribute__((noinline, cold)) int refuse_turn(sf_turn *turn)
{
    if (!turn || !turn->depth) {
        sfi_err(SF_EINVAL, "this turn is over");
        return 0;
    }
    sfi_work_doom(work_of(turn), SFI_REJECT, SF_EINVAL,
                  "the turn that called is waiting, and was used");
    sfi_err(SF_EINVAL, "%s", work_of(turn)->reason);
    return 0;
}

static inline int is_innermost(const sf_turn *turn)
{
    return turn && turn->depth && turn->depth == turn->rt->turns.depth;
}

static inline int is_under_way(sf_turn *turn)
{
    return SFI_RARE(!is_innermost(turn)) ? refuse_turn(turn) : 1;
}

/* May this turn still do something? */
static inline int turn_check(sf_turn *turn)
{
    if (!is_under_way(turn))
        return SF_EINVAL;
    if (sfi_is_forked(turn->rt))
        return sfi_life_check(turn->rt, "a turn");
    const struct sfi_work *work = work_of(turn);
    return SFI_RARE(work->verdict != SFI_KEEP) ? sfi_work_error(work) : 0;
}

/* What the handler passed broke a rule: it will again, so the message is not tried again. */
static int turn_reject(sf_turn *turn, int code)
{
    sfi_work_doom(work_of(turn), SFI_REJECT, code, "%s", sf_errmsg());
    return code;
}

void *sf_state(sf_turn *turn)
{
    return is_under_way(turn) ? sfi_turn_state(turn) : NULL;
}

const sf_message *sf_msg(sf_turn *turn)
{
    return is_under_way(turn) ? &turn->view : NULL;
}

static __attribute__((noinline, cold)) const void *refuse_body(sf_turn *turn, size_t size)
{
    if (!is_under_way(turn))
        return NULL;
    sfi_work_doom(work_of(turn), SFI_REJECT, SF_EINVAL, "the body of '%s' has %zu bytes, not %zu",
                  turn->view.kind, turn->view.body.size, size);
    sfi_work_error(work_of(turn));
    return sfi_turn_no_body(turn, size);
}

const void *sf_body(sf_turn *turn, size_t size)
{
    if (SFI_RARE(!is_innermost(turn) || turn->view.body.size != size))
        return refuse_body(turn, size);
    return turn->view.body.data ? turn->view.body.data : "";
}

sf_address sf_self(sf_turn *turn)
{
    return is_under_way(turn) ? turn->view.to : (sf_address){NULL, {"", 0}};
}

void *sf_userdata(sf_turn *turn)
{
    return is_under_way(turn) ? turn->actor->type->userdata : NULL;
}

uint64_t sf_now_ms(sf_turn *turn)
{
    if (!is_under_way(turn))
        return 0;
    return sfi_work_now_ms(work_of(turn));
}

uint64_t sf_random(sf_turn *turn)
{
    if (!is_under_way(turn))
        return 0;
    sf_runtime *rt = turn->rt;
    uint64_t number = rt->sys->random(rt->sys->ctx);
    if (number)
        return number;
    rt->randoms++; /* denied since it was opened: a key that was drawn then goes on */
    return sfi_hash(&rt->types.key, 1, &rt->randoms, sizeof rt->randoms);
}

static __attribute__((noinline)) int answer_outside(sf_turn *turn, sf_address to, const char *kind,
                                                    sf_bytes body)
{
    uint64_t number = 0;
    if (sfi_check_payload(turn->rt, kind, body) < 0)
        return turn_reject(turn, SF_EINVAL);
    if (to.id.size != 0 && (to.id.size != sizeof number || !to.id.data))
        return turn_reject(turn, sfi_err(SF_EINVAL, "this is no address of an asker"));
    if (to.id.size)
        memcpy(&number, to.id.data, sizeof number);
    return number ? sfi_turn_answer(turn, number, kind ? kind : "", body) : 0;
}

/* The type of an actor that a turn sends to or calls.  NULL: the turn failed; *rc says how. */
static inline struct sfi_type *find_target(sf_turn *turn, sf_address to, const char *kind,
                                           sf_bytes body, size_t *kind_size, int *rc)
{
    *rc = sfi_check_letter(turn->rt, kind, body, kind_size);
    if (*rc == 0)
        *rc = sfi_check_id(to);
    if (SFI_RARE(*rc < 0)) {
        turn_reject(turn, *rc);
        return NULL;
    }
    struct sfi_type *type = sfi_types_find(&turn->rt->types, to.type);
    if (SFI_RARE(!type || !type->registered)) {
        *rc = sfi_not_registered("type", to.type);
        sfi_work_doom(work_of(turn), SFI_FAIL, *rc, "%s", sf_errmsg());
        return NULL;
    }
    return type;
}

static int is_self(const sf_turn *turn, sf_address to)
{
    const struct sfi_actor *actor = turn->actor;
    return to.type && to.id.data && to.id.size == actor->id_size &&
           memcmp(to.id.data, actor->id, to.id.size) == 0 && strcmp(to.type, actor->type->name) == 0;
}

/* A private kind goes to oneself only. */
static inline int check_private(sf_turn *turn, sf_address to, const char *kind)
{
    return SFI_RARE(kind && kind[0] == '.') && !is_self(turn, to)
               ? turn_reject(turn, sfi_check_public(kind))
               : 0;
}

int sfi_in_turn_check(sf_turn *turn)
{
    return turn_check(turn);
}

int sfi_in_turn_reject(sf_turn *turn, int code)
{
    return turn_reject(turn, code);
}

struct sfi_type *sfi_in_turn_target(sf_turn *turn, sf_address to, const char *kind, sf_bytes body,
                                    int *rc)
{
    size_t kind_size;
    *rc = check_private(turn, to, kind);
    return *rc < 0 ? NULL : find_target(turn, to, kind, body, &kind_size, rc);
}

int sf_tell(sf_turn *turn, sf_address to, const char *kind, sf_bytes body)
{
    size_t kind_size;
    int rc = turn_check(turn);
    if (rc == 0)
        rc = check_private(turn, to, kind);
    if (rc < 0)
        return rc;
    if (!to.type)
        return answer_outside(turn, to, kind, body);
    struct sfi_type *type = find_target(turn, to, kind, body, &kind_size, &rc);
    return type ? sfi_turn_send(turn, type, to, kind ? kind : "", kind_size, body) : rc;
}

int sf_reply(sf_turn *turn, const char *kind, sf_bytes body)
{
    int rc = turn_check(turn);
    if (rc < 0 || turn->depth == 1)
        return rc < 0 ? rc : sf_tell(turn, turn->view.from, kind, body);
    if (sfi_check_payload(turn->rt, kind, body) < 0 || sfi_check_public(kind) < 0)
        return turn_reject(turn, SF_EINVAL);
    return sfi_call_answer(turn, kind ? kind : "", body);
}

const sf_message *sf_call(sf_turn *turn, sf_address to, const char *kind, sf_bytes body)
{
    int rc = turn_check(turn);
    if (rc == 0 && !to.type)
        rc = turn_reject(turn, sfi_err(SF_EINVAL, "the outside cannot be called"));
    if (rc == 0)
        rc = check_private(turn, to, kind);
    size_t kind_size;
    struct sfi_type *type = rc < 0 ? NULL : find_target(turn, to, kind, body, &kind_size, &rc);
    return type ? sfi_call(turn, type, to, kind ? kind : "", body) : &sfi_no_answer;
}

int sf_emit(sf_turn *turn, const char *name, const char *kind, sf_bytes body)
{
    int rc = turn_check(turn);
    if (rc < 0)
        return rc;
    rc = sfi_check_name("an egress", name);
    if (rc == 0)
        rc = sfi_check_payload(turn->rt, kind, body);
    if (rc < 0)
        return turn_reject(turn, rc);
    struct sfi_egress *egress = sfi_egresses_find(&turn->rt->egresses, name);
    if (!egress || !egress->callback) {
        rc = sfi_not_registered("egress", name);
        sfi_work_doom(work_of(turn), SFI_FAIL, rc, "%s", sf_errmsg());
        return rc;
    }
    return sfi_turn_emit(turn, egress, kind ? kind : "", kind ? strlen(kind) : 0, body);
}

static int doom_formatted(sf_turn *turn, enum sfi_verdict verdict, const char *format, va_list args)
{
    char reason[SFI_REASON_MAX];
    if (!is_under_way(turn))
        return SF_EINVAL;
    vsnprintf(reason, sizeof reason, format ? format : "", args);
    sfi_work_doom(work_of(turn), verdict, SF_EFAILED, "%s", reason);
    return sfi_err(SF_EFAILED, "%s", reason);
}

int sf_fail(sf_turn *turn, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = doom_formatted(turn, SFI_FAIL, format, args);
    va_end(args);
    return rc;
}

int sf_reject(sf_turn *turn, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = doom_formatted(turn, SFI_REJECT, format, args);
    va_end(args);
    return rc;
}

const sf_value *sf_value_named(sf_turn *turn, const char *name, const char *tag,
                               uint64_t expire_after_write_ms, uint64_t expire_after_access_ms)
{
    struct sfi_naming naming = {name, tag ? tag : "", expire_after_write_ms, expire_after_access_ms};
    return turn_check(turn) < 0 ? NULL : sfi_turn_named(turn, &naming);
}

sf_bytes sf_value_get(sf_turn *turn, const sf_value *value)
{
    struct sfi_slot *slot = turn_check(turn) < 0 ? NULL : sfi_turn_slot(turn, value);
    return slot ? sfi_turn_get(turn, slot) : SF_NONE;
}

static int set_value(sf_turn *turn, const sf_value *value, sf_bytes bytes)
{
    int rc = turn_check(turn);
    if (rc < 0)
        return rc;
    struct sfi_slot *slot = sfi_turn_slot(turn, value);
    return slot ? sfi_turn_set(turn, slot, bytes) : work_of(turn)->code;
}

int sf_value_put(sf_turn *turn, const sf_value *value, sf_bytes bytes)
{
    int rc = turn_check(turn);
    if (rc == 0 && !bytes.data)
        rc = turn_reject(turn, sfi_err(SF_EINVAL, "a value without data: use sf_value_del()"));
    if (rc == 0 && sfi_check_payload(turn->rt, NULL, bytes) < 0)
        rc = turn_reject(turn, SF_EINVAL);
    return rc < 0 ? rc : set_value(turn, value, bytes);
}

int sf_value_del(sf_turn *turn, const sf_value *value)
{
    return set_value(turn, value, SF_NONE);
}

int sf_clear(sf_turn *turn)
{
    int rc = turn_check(turn);
    return rc < 0 ? rc : sfi_turn_clear(turn);
}

/* Saved address: type's name size:1, name, id; an empty name is the outside. */
_Static_assert(1 + SF_TYPE_NAME_MAX + SF_ID_MAX <= SF_ADDRESS_MAX, "a saved address fits");

sf_bytes sf_addr_save(sf_turn *turn, sf_address address)
{
    if (turn_check(turn) < 0)
        return SF_NONE;
    size_t name_size = address.type ? strlen(address.type) : 0;
    if (name_size > SF_TYPE_NAME_MAX || address.id.size > SF_ID_MAX) {
        turn_reject(turn, sfi_err(SF_EINVAL, "this is no address"));
        return SF_NONE;
    }
    unsigned char *bytes = sfi_arena_alloc(&work_of(turn)->arena, 2 + name_size + address.id.size);
    if (!bytes) {
        sfi_work_doom(work_of(turn), SFI_TROUBLE, SF_ENOMEM, "out of memory");
        return SF_NONE;
    }
    bytes[0] = (unsigned char)name_size;
    if (name_size)
        memcpy(bytes + 1, address.type, name_size);
    if (address.id.size)
        memcpy(bytes + 1 + name_size, address.id.data, address.id.size);
    bytes[1 + name_size + address.id.size] = 0;
    return SF_BYTES(bytes, 1 + name_size + address.id.size);
}

/* A name that a type can have, and an id; or no name, and the id of an asker or none. */
static int is_saved_address(sf_bytes saved)
{
    const unsigned char *bytes = saved.data;
    if (!bytes || saved.size < 1 || bytes[0] > SF_TYPE_NAME_MAX || saved.size < 1u + bytes[0] ||
        memchr(bytes + 1, 0, bytes[0]))
        return 0;
    size_t id_size = saved.size - 1 - bytes[0];
    return bytes[0] ? id_size >= 1 && id_size <= SF_ID_MAX
                    : id_size == 0 || id_size == sizeof(uint64_t);
}

sf_address sf_addr_load(sf_turn *turn, sf_bytes saved)
{
    sf_address nobody = {NULL, {"", 0}};
    const unsigned char *bytes = saved.data;
    if (turn_check(turn) < 0)
        return nobody;
    if (!is_saved_address(saved)) {
        turn_reject(turn, sfi_err(SF_EINVAL, "these bytes are no saved address"));
        return nobody;
    }
    size_t name_size = bytes[0], id_size = saved.size - 1 - name_size;
    const char *name = sfi_arena_copy(&work_of(turn)->arena, bytes + 1, name_size);
    const char *id = sfi_arena_copy(&work_of(turn)->arena, bytes + 1 + name_size, id_size);
    if (!name || !id) {
        sfi_work_doom(work_of(turn), SFI_TROUBLE, SF_ENOMEM, "out of memory");
        return nobody;
    }
    return (sf_address){name_size ? name : NULL, {id, id_size}};
}
