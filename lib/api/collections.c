/* collections.c - the public functions on maps and lists inside a turn: check what a handler may
 * pass, then hand on. */
#include "actor/slot.h"
#include "api/check.h"
#include "api/in_turn.h"
#include "base/err.h"
#include "run/runtime.h"

/* What the type of the turn's actor lists under that handle.  NULL: the turn fails. */
static const struct sfi_binding *binding_of(sf_turn *turn, const sf_slot *slot,
                                            enum sfi_slot_kind kind)
{
    if (sfi_in_turn_check(turn) < 0)
        return NULL;
    const struct sfi_type *type = turn->actor->type;
    const struct sfi_binding *binding = slot ? sfi_type_binding(type, slot, kind) : NULL;
    if (!binding)
        sfi_in_turn_reject(turn, sfi_err(SF_EINVAL, "type '%s' does not list that %s", type->name,
                                     sfi_slot_kind_name(kind) + 2));
    return binding;
}

static int check_key(sf_turn *turn, sf_bytes key)
{
    if (key.size <= SF_KEY_MAX && (key.data || !key.size))
        return 0;
    return sfi_in_turn_reject(turn, sfi_err(SF_EINVAL, "a key has at most %d bytes, this one %zu",
                                        SF_KEY_MAX, key.data ? key.size : 0));
}

static int check_bytes(sf_turn *turn, const struct sfi_binding *binding, sf_bytes bytes)
{
    const sf_slot *desc = &binding->desc;
    int rc = 0;
    if (!bytes.data)
        rc = sfi_err(SF_EINVAL, "slot '%s': an entry without data", desc->name);
    else if (desc->struct_size && bytes.size != desc->struct_size)
        rc = sfi_err(SF_EINVAL, "slot '%s' holds structs of %zu bytes, not %zu", desc->name,
                     desc->struct_size, bytes.size);
    else
        rc = sfi_check_payload(turn->rt, NULL, bytes);
    return rc < 0 ? sfi_in_turn_reject(turn, rc) : 0;
}

static int check_struct(sf_turn *turn, const struct sfi_binding *binding)
{
    if (binding->desc.struct_size)
        return 0;
    return sfi_in_turn_reject(turn, sfi_err(SF_EINVAL,
                                            "slot '%s' holds bytes: no struct can be lent",
                                        binding->desc.name));
}

/* -- maps -------------------------------------------------------------------------------------- */

static const struct sfi_binding *open_map(sf_turn *turn, const sf_map *handle, struct sfi_map *map)
{
    const struct sfi_binding *binding =
        binding_of(turn, handle ? &handle->slot : NULL, SFI_SLOT_MAP);
    if (binding && sfi_map_open(map, &turn->rt->turns.work, turn->actor, binding->number) < 0)
        return NULL;
    return binding;
}

/* Ready for one entry.  NULL: the turn fails. */
static const struct sfi_binding *open_entry(sf_turn *turn, const sf_map *handle, sf_bytes *key,
                                            struct sfi_map *map)
{
    const struct sfi_binding *binding = open_map(turn, handle, map);
    if (!key->data)
        key->data = "";
    return binding && check_key(turn, *key) == 0 ? binding : NULL;
}

/* As large as the handler takes it to be, whatever is known of the turn. */
static void *no_entry(sf_turn *turn, const sf_map *handle)
{
    int is_turn = turn && turn->depth;
    return is_turn && handle ? sfi_turn_no_struct(turn, handle->slot.struct_size) : NULL;
}

void *sf_map_entry(sf_turn *turn, const sf_map *handle, sf_bytes key)
{
    struct sfi_map map;
    const struct sfi_binding *binding = open_entry(turn, handle, &key, &map);
    void *entry = binding && check_struct(turn, binding) == 0
                      ? sfi_lent_entry(&map, binding, key, 1)
                      : NULL;
    return entry ? entry : no_entry(turn, handle);
}

void *sf_map_find(sf_turn *turn, const sf_map *handle, sf_bytes key)
{
    struct sfi_map map;
    const struct sfi_binding *binding = open_entry(turn, handle, &key, &map);
    if (!binding || check_struct(turn, binding) < 0)
        return NULL;
    return sfi_lent_entry(&map, binding, key, 0);
}

sf_bytes sf_map_get(sf_turn *turn, const sf_map *handle, sf_bytes key)
{
    struct sfi_map map;
    sf_bytes bytes = SF_NONE;
    const struct sfi_binding *binding = open_entry(turn, handle, &key, &map);
    return binding && sfi_lent_get(&map, binding, key, &bytes) > 0 ? bytes : SF_NONE;
}

static int code_of(const sf_turn *turn)
{
    return turn && turn->depth ? turn->rt->turns.work.code : SF_EINVAL;
}

int sf_map_put(sf_turn *turn, const sf_map *handle, sf_bytes key, sf_bytes bytes)
{
    struct sfi_map map;
    const struct sfi_binding *binding = open_entry(turn, handle, &key, &map);
    if (!binding || check_bytes(turn, binding, bytes) < 0)
        return code_of(turn);
    return sfi_lent_put(&map, binding, key, bytes);
}

int sf_map_del(sf_turn *turn, const sf_map *handle, sf_bytes key)
{
    struct sfi_map map;
    const struct sfi_binding *binding = open_entry(turn, handle, &key, &map);
    int rc = binding ? sfi_lent_delete(&map, key) : code_of(turn);
    return rc < 0 ? rc : 0;
}

int sf_map_clear(sf_turn *turn, const sf_map *handle)
{
    struct sfi_map map;
    return open_map(turn, handle, &map) ? sfi_map_clear(&map) : code_of(turn);
}

uint64_t sf_map_count(sf_turn *turn, const sf_map *handle)
{
    struct sfi_map map;
    return open_map(turn, handle, &map) ? sfi_map_count(&map) : 0;
}

static int check_range(sf_turn *turn, const sf_range *range)
{
    if (!range)
        return 0;
    const sf_bytes *bounds[] = {&range->prefix, &range->from, &range->after, &range->before};
    int rc = 0;
    for (int i = 0; i < 4 && rc == 0; i++)
        rc = check_key(turn, bounds[i]->data ? *bounds[i] : SF_NONE);
    return rc;
}

sf_cursor *sf_map_scan(sf_turn *turn, const sf_map *handle, const sf_range *range)
{
    struct sfi_map map;
    const struct sfi_binding *binding = open_map(turn, handle, &map);
    sf_cursor *cursor = binding && check_range(turn, range) == 0
                            ? sfi_scan_map(turn, &map, binding, range)
                            : NULL;
    return cursor ? cursor : sfi_no_cursor(code_of(turn));
}

/* -- lists ------------------------------------------------------------------------------------- */

static const struct sfi_binding *open_list(sf_turn *turn, const sf_list *handle,
                                           struct sfi_list *list)
{
    const struct sfi_binding *binding =
        binding_of(turn, handle ? &handle->slot : NULL, SFI_SLOT_LIST);
    if (binding && sfi_list_open(list, &turn->rt->turns.work, turn->actor, binding->number) < 0)
        return NULL;
    return binding;
}

int sf_list_append(sf_turn *turn, const sf_list *handle, sf_bytes bytes)
{
    struct sfi_list list;
    const struct sfi_binding *binding = open_list(turn, handle, &list);
    if (!binding || check_bytes(turn, binding, bytes) < 0)
        return code_of(turn);
    struct sfi_entry entry = {.version = binding->desc.struct_version, .bytes = bytes};
    int rc = binding->desc.struct_size
                 ? sfi_work_note_struct(list.work, list.actor, binding)
                 : 0;
    return rc < 0 ? rc : sfi_list_append(&list, &entry);
}

int sf_list_trim(sf_turn *turn, const sf_list *handle, uint64_t keep_newest)
{
    struct sfi_list list;
    return open_list(turn, handle, &list) ? sfi_list_trim(&list, keep_newest) : code_of(turn);
}

int sf_list_clear(sf_turn *turn, const sf_list *handle)
{
    struct sfi_list list;
    return open_list(turn, handle, &list) ? sfi_list_clear(&list) : code_of(turn);
}

uint64_t sf_list_count(sf_turn *turn, const sf_list *handle)
{
    struct sfi_list list;
    return open_list(turn, handle, &list) ? sfi_list_count(&list) : 0;
}

sf_cursor *sf_list_scan(sf_turn *turn, const sf_list *handle, int backwards)
{
    struct sfi_list list;
    const struct sfi_binding *binding = open_list(turn, handle, &list);
    sf_cursor *cursor = binding ? sfi_scan_list(turn, &list, binding, backwards) : NULL;
    return cursor ? cursor : sfi_no_cursor(code_of(turn));
}
