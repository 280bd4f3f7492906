#include "support/collections_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
    uint64_t amount;
    uint32_t price, kind;
};

struct collector {
    uint64_t version;
};

static const sf_map notes = SF_MAP("notes"), lines = SF_MAP("lines", .struct_size = sizeof(struct line));
static const sf_list logbook = SF_LIST("log");

static void differs(struct collections *c, const char *format, ...)
{
    va_list args;
    if (c->turn && sf_list_trim(c->turn, &logbook, UINT64_MAX) < 0)
        c->is_doomed = 1;
    if (c->violation[0] || c->is_doomed)
        return;
    va_start(args, format);
    vsnprintf(c->violation, sizeof c->violation, format, args);
    va_end(args);
    size_t used = strlen(c->violation);
    snprintf(c->violation + used, sizeof c->violation - used, " (%.80s)", sf_errmsg());
}

static int is_over(const struct collections *c)
{
    return c->violation[0] || c->is_doomed;
}

/* -- dice --------------------------------------------------------------------------------------------- */

static uint64_t roll(uint64_t *dice)
{
    *dice += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = *dice;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint32_t below(uint64_t *dice, uint32_t n)
{
    return (uint32_t)(roll(dice) >> 32) % n;
}

/* -- bytes from a seed --------------------------------------------------------------------------------- */

static sf_bytes bytes_of(const struct model_entry *entry)
{
    static unsigned char bytes[8192];
    for (uint32_t i = 0; i < entry->size; i++)
        bytes[i] = (unsigned char)(entry->seed >> i % 4 * 8 ^ i);
    return SF_BYTES(bytes, entry->size);
}

static struct line line_of(const struct model_entry *entry)
{
    struct line line = {entry->seed, entry->seed / 2, entry->seed % 3};
    return entry->seed ? line : (struct line){0};
}

static void random_key(uint64_t *dice, struct model_entry *out)
{
    static const unsigned char prefixes[] = {0, 'a', 'b', 0xFF};
    out->key_size = below(dice, 12) == 0 ? below(dice, 3) : 2 + below(dice, 3);
    if (below(dice, 10) == 0)
        out->key_size = MODEL_KEY;
    memset(out->key, prefixes[below(dice, 4)], sizeof out->key);
    for (uint32_t i = 1; i < out->key_size && i < 3; i++)
        out->key[i] = (unsigned char)(below(dice, 6) * 51);
}

static void random_bytes(uint64_t *dice, struct model_entry *out)
{
    uint32_t large = below(dice, 40);
    out->seed = 1 + below(dice, 1u << 30);
    out->size = below(dice, 60);
    if (large == 0)
        out->size = 200 + below(dice, 200);
    if (large == 1)
        out->size = below(dice, 4000);
}

static sf_bytes key_of(const struct model_entry *entry)
{
    return SF_BYTES(entry->key, entry->key_size);
}

/* -- the model ---------------------------------------------------------------------------------------- */

static int compare(sf_bytes a, sf_bytes b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* The place of a key, or of the first greater one. */
static int place_in(const struct model_map *map, sf_bytes key, int *found)
{
    int i = 0;
    while (i < map->count && compare(key_of(&map->entries[i]), key) < 0)
        i++;
    *found = i < map->count && compare(key_of(&map->entries[i]), key) == 0;
    return i;
}

static struct model_entry *find_in(struct model_map *map, sf_bytes key)
{
    int found, i = place_in(map, key, &found);
    return found ? &map->entries[i] : NULL;
}

static struct model_entry *put_in(struct model_map *map, const struct model_entry *entry)
{
    int found, i = place_in(map, key_of(entry), &found);
    if (!found) {
        memmove(&map->entries[i + 1], &map->entries[i],
                (size_t)(map->count - i) * sizeof *map->entries);
        map->count++;
    }
    map->entries[i] = *entry;
    return &map->entries[i];
}

static void delete_in(struct model_map *map, sf_bytes key)
{
    int found, i = place_in(map, key, &found);
    if (!found)
        return;
    map->count--;
    memmove(&map->entries[i], &map->entries[i + 1], (size_t)(map->count - i) * sizeof *map->entries);
}

/* -- what is seen, and what should be ----------------------------------------------------------------- */

static void same_bytes(struct collections *c, const char *what, sf_bytes seen,
                       const struct model_entry *wanted)
{
    sf_bytes bytes = wanted ? bytes_of(wanted) : SF_NONE;
    if (!seen.data != !bytes.data || seen.size != bytes.size ||
        (bytes.size && memcmp(seen.data, bytes.data, bytes.size) != 0))
        differs(c, "%s: %zu bytes seen, %zu wanted", what, seen.size, bytes.size);
    if (seen.data && ((const char *)seen.data)[seen.size] != 0)
        differs(c, "%s: no zero byte follows", what);
    if (seen.data && (uintptr_t)seen.data % 16)
        differs(c, "%s: not aligned", what);
}

static void same_line(struct collections *c, const char *what, sf_bytes seen,
                      const struct model_entry *wanted)
{
    struct line line = wanted ? line_of(wanted) : (struct line){0};
    if (!seen.data != !wanted ||
        (wanted && (seen.size != sizeof line || memcmp(seen.data, &line, sizeof line) != 0)))
        differs(c, "%s: another struct", what);
}

typedef void same_fn(struct collections *c, const char *what, sf_bytes seen,
                     const struct model_entry *wanted);

struct side {
    const sf_map *handle;
    struct model_map *map;
    same_fn *same;
};

static struct side side_of(struct collections *c, int structs)
{
    return structs ? (struct side){&lines, &c->now.lines, same_line}
                   : (struct side){&notes, &c->now.notes, same_bytes};
}

/* -- walks -------------------------------------------------------------------------------------------- */

static int is_in(const sf_range *range, sf_bytes key)
{
    if (range->prefix.size && (key.size < range->prefix.size ||
                               memcmp(key.data, range->prefix.data, range->prefix.size) != 0))
        return 0;
    return !(range->from.data && compare(key, range->from) < 0) &&
           !(range->after.data && compare(key, range->after) <= 0) &&
           !(range->before.data && compare(key, range->before) >= 0);
}

/* What follows `at` (NULL: the beginning) as things are now. */
static struct model_entry *following(struct model_map *map, const sf_range *range,
                                     const struct model_entry *at)
{
    for (int i = 0; i < map->count; i++) {
        struct model_entry *entry = &map->entries[range->backwards ? map->count - 1 - i : i];
        int order = at ? compare(key_of(entry), key_of(at)) : 1;
        if (is_in(range, key_of(entry)) && (!at || (range->backwards ? order < 0 : order > 0)))
            return entry;
    }
    return NULL;
}

static void random_range(uint64_t *dice, struct model_entry bounds[4], sf_range *out)
{
    *out = (sf_range){.backwards = (int)below(dice, 2)};
    sf_bytes *fields[] = {&out->prefix, &out->from, &out->after, &out->before};
    for (int i = 0; i < 4; i++) {
        random_key(dice, &bounds[i]);
        if (i == 0)
            bounds[i].key_size = 1 + below(dice, 2);
        if (below(dice, 5) == 0)
            *fields[i] = key_of(&bounds[i]);
    }
}

static void change(struct collections *c, sf_turn *turn, int structs, uint64_t *dice);

static void walk_map(struct collections *c, sf_turn *turn, int structs, uint64_t *dice)
{
    struct side side = side_of(c, structs);
    struct model_entry bounds[4], at = {.size = 0};
    sf_range range;
    int begun = 0, changes = below(dice, 3) == 0, stop = below(dice, 4) == 0 ? 3 : INT32_MAX;
    random_range(dice, bounds, &range);
    int is_whole = below(dice, 8) == 0;
    if (is_whole)
        range = (sf_range){.backwards = 0};
    sf_cursor *cursor = sf_map_scan(turn, side.handle, is_whole ? NULL : &range);
    if (sf_cursor_error(cursor) < 0)
        differs(c, "a walk is an error");
    c->walks++;
    while (stop-- > 0 && !is_over(c)) {
        const struct model_entry *wanted = following(side.map, &range, begun ? &at : NULL);
        const sf_entry *seen = sf_next(cursor);
        if (!seen != !wanted)
            differs(c, "a walk %s", seen ? "goes on past the end" : "ends early");
        if (!seen || !wanted)
            return;
        if (compare(seen->key, key_of(wanted)) != 0)
            differs(c, "a walk comes to another key");
        side.same(c, "an entry of a walk", seen->value, wanted);
        at = *wanted;
        begun = 1;
        if (changes && below(dice, 3) == 0)
            change(c, turn, structs, dice);
    }
}

static void walk_log(struct collections *c, sf_turn *turn, uint64_t *dice)
{
    struct model *now = &c->now;
    int backwards = (int)below(dice, 2), stop = below(dice, 4) == 0 ? 7 : INT32_MAX;
    uint64_t first = now->log_next - (uint64_t)now->log_count;
    sf_cursor *cursor = sf_list_scan(turn, &logbook, backwards);
    c->walks++;
    for (int i = 0; i <= now->log_count && stop-- > 0 && !is_over(c); i++) {
        const sf_entry *seen = sf_next(cursor);
        int at = backwards ? now->log_count - 1 - i : i;
        if (!seen != (i == now->log_count))
            differs(c, "a walk over the log ends at %d of %d", i, now->log_count);
        if (!seen || i == now->log_count)
            return;
        if (sf_u64_of(seen->key) != first + (uint64_t)at)
            differs(c, "element %llu where %llu should be", (unsigned long long)sf_u64_of(seen->key),
                    (unsigned long long)first + (unsigned)at);
        same_bytes(c, "an element", seen->value, &now->log[at]);
    }
}

/* -- steps -------------------------------------------------------------------------------------------- */

static void put_note(struct collections *c, sf_turn *turn, uint64_t *dice)
{
    struct model_entry entry;
    random_key(dice, &entry);
    random_bytes(dice, &entry);
    if (c->now.notes.count == MODEL_ENTRIES)
        return;
    sf_map_put(turn, &notes, key_of(&entry), bytes_of(&entry));
    put_in(&c->now.notes, &entry);
}

/* Writes to a struct that was lent, or puts one. */
static void put_line(struct collections *c, sf_turn *turn, uint64_t *dice)
{
    struct model_entry entry = {.seed = 1 + below(dice, 1 << 20)};
    random_key(dice, &entry);
    struct line line = line_of(&entry);
    if (c->now.lines.count == MODEL_ENTRIES)
        return;
    int how = (int)below(dice, 3);
    if (how == 2)
        sf_map_put(turn, &lines, key_of(&entry), SF_BYTES(&line, sizeof line));
    struct line *lent = how == 2 ? NULL
                        : how    ? sf_map_entry(turn, &lines, key_of(&entry))
                                 : sf_map_find(turn, &lines, key_of(&entry));
    struct model_entry *there = find_in(&c->now.lines, key_of(&entry));
    if (how == 0 && !lent != !there)
        differs(c, "find %s", lent ? "makes an entry" : "does not find one");
    if (lent && how < 2)
        same_line(c, "a lent struct", SF_BYTES(lent, sizeof *lent),
                  there ? there : &(struct model_entry){.seed = 0});
    if (how == 0 && !lent)
        return;
    if (lent && below(dice, 4))
        *lent = line;
    else if (lent)
        entry.seed = there ? there->seed : 0;
    put_in(&c->now.lines, &entry);
}

static void delete_entry(struct collections *c, sf_turn *turn, int structs, uint64_t *dice)
{
    struct side side = side_of(c, structs);
    struct model_entry entry;
    random_key(dice, &entry);
    if (side.map->count && below(dice, 3))
        entry = side.map->entries[below(dice, (uint32_t)side.map->count)];
    struct line *cut = structs && below(dice, 2) ? sf_map_find(turn, side.handle, key_of(&entry)) : NULL;
    sf_map_del(turn, side.handle, key_of(&entry));
    if (cut)
        cut->amount = 4711; /* in vain */
    delete_in(side.map, key_of(&entry));
}

static void change(struct collections *c, sf_turn *turn, int structs, uint64_t *dice)
{
    if (below(dice, 5) < 2)
        delete_entry(c, turn, structs, dice);
    else if (structs)
        put_line(c, turn, dice);
    else
        put_note(c, turn, dice);
}

static void get_entry(struct collections *c, sf_turn *turn, int structs, uint64_t *dice)
{
    struct side side = side_of(c, structs);
    struct model_entry entry;
    random_key(dice, &entry);
    side.same(c, "an entry", sf_map_get(turn, side.handle, key_of(&entry)),
              find_in(side.map, key_of(&entry)));
    if (sf_map_count(turn, side.handle) != (uint64_t)side.map->count)
        differs(c, "%llu entries counted, %d are there",
                (unsigned long long)sf_map_count(turn, side.handle), side.map->count);
}

static void append(struct collections *c, sf_turn *turn, uint64_t *dice)
{
    for (uint32_t n = below(dice, 8) ? 1 + below(dice, 4) : below(dice, 300); n; n--) {
        struct model_entry *entry = &c->now.log[c->now.log_count];
        if (c->now.log_count == MODEL_ELEMENTS)
            return;
        random_bytes(dice, entry);
        sf_list_append(turn, &logbook, bytes_of(entry));
        c->now.log_count++;
        c->now.log_next++;
    }
}

static void trim(struct collections *c, sf_turn *turn, uint64_t *dice)
{
    struct model *now = &c->now;
    uint32_t keep = below(dice, (uint32_t)now->log_count + 5);
    if (below(dice, 2))
        keep = now->log_count > 9 ? (uint32_t)now->log_count - below(dice, 9) : keep;
    sf_list_trim(turn, &logbook, keep);
    int over = now->log_count - (int)keep;
    if (over <= 0)
        return;
    memmove(now->log, now->log + over, keep * sizeof *now->log);
    now->log_count = (int)keep;
    if (keep == 0)
        now->log_next = 1;
}

static void clear(struct collections *c, sf_turn *turn, uint64_t *dice)
{
    uint32_t what = below(dice, 4);
    c->clears++;
    if (what == 0 || what == 3) {
        c->now.notes.count = 0;
        sf_map_clear(turn, &notes);
    }
    if (what == 1 || what == 3) {
        struct line *lent = c->now.lines.count ? sf_map_find(turn, &lines, key_of(&c->now.lines.entries[0])) : NULL;
        c->now.lines.count = 0;
        sf_map_clear(turn, &lines);
        if (lent)
            lent->price = 1; /* in vain */
    }
    if (what == 2 || what == 3) {
        c->now.log_count = 0;
        c->now.log_next = 1;
        sf_list_clear(turn, &logbook);
    }
}

/* All of it, and it goes on counting its turns. */
static void forget(struct collections *c, sf_turn *turn)
{
    sf_clear(turn);
    c->clears++;
    uint64_t version = c->now.version;
    memset(&c->now, 0, sizeof c->now);
    c->now.version = version;
    c->now.log_next = 1;
}

static void step(struct collections *c, sf_turn *turn, uint64_t *dice)
{
    int structs = (int)below(dice, 2);
    c->steps++;
    switch (below(dice, 40)) {
    case 0: case 1: case 2:
        walk_map(c, turn, structs, dice);
        break;
    case 3: case 4:
        walk_log(c, turn, dice);
        break;
    case 5:
        if (below(dice, 6) == 0)
            clear(c, turn, dice);
        break;
    case 6:
        if (below(dice, 12) == 0)
            forget(c, turn);
        break;
    case 7: case 8:
        trim(c, turn, dice);
        break;
    case 9: case 10: case 11: case 12: case 13: case 14:
        append(c, turn, dice);
        break;
    case 15: case 16: case 17: case 18: case 19: case 20: case 21:
        get_entry(c, turn, structs, dice);
        break;
    default:
        change(c, turn, structs, dice);
        break;
    }
    if (sf_list_count(turn, &logbook) != (uint64_t)c->now.log_count)
        differs(c, "%d elements should be counted", c->now.log_count);
}

/* -- turns -------------------------------------------------------------------------------------------- */

static struct model *model_at(struct collections *c, sf_address self, uint64_t version)
{
    int actor = *(const char *)self.id.data - '0';
    return &c->models[actor][version % MODEL_VERSIONS];
}

static int collect(sf_turn *turn)
{
    struct collections *c = sf_userdata(turn);
    struct collector *self = sf_state(turn);
    uint64_t dice = *(const uint64_t *)sf_body(turn, sizeof dice);
    const struct model *model = model_at(c, sf_self(turn), self->version);
    if (c->violation[0])
        return 0;
    c->turn = turn;
    c->is_doomed = 0;
    c->now = *model;
    if (c->now.version != self->version)
        differs(c, "version %llu is found, %llu is not known any more",
                (unsigned long long)self->version, (unsigned long long)c->now.version);
    if (c->now.log_next == 0)
        c->now.log_next = 1;
    int steps = 1 + (int)below(&dice, 24), fails = below(&dice, 4) == 0;
    for (int i = 0; i < steps && !is_over(c); i++)
        step(c, turn, &dice);
    c->doomed += (uint64_t)(sf_list_trim(turn, &logbook, UINT64_MAX) < 0);
    c->turn = NULL;
    c->turns++;
    c->undone += (uint64_t)fails;
    if (fails)
        return sf_fail(turn, "as told");
    self = sf_state(turn); /* it may have been cleared */
    self->version = ++c->now.version;
    if (c->is_doomed)
        return 0;
    *model_at(c, sf_self(turn), self->version) = c->now;
    return 0;
}

const sf_type collector_type = SF_TYPE("test/collector", .on = {{"go", collect}},
                                       .state_size = sizeof(struct collector), .attempts_max = 1,
                                       .maps = {&notes, &lines}, .lists = {&logbook});

int64_t collector_send(sf_runtime *rt, uint64_t seed)
{
    char id[2] = {(char)('0' + seed % MODEL_ACTORS), 0};
    return sf_send(rt, sf_addr("test/collector", id), "go", SF_BYTES(&seed, sizeof seed));
}

/* -- from outside ------------------------------------------------------------------------------------- */

static void view_map(struct collections *c, sf_view *view, sf_address address, int structs,
                     uint64_t *dice)
{
    struct side side = side_of(c, structs);
    struct model_entry bounds[4], at = {.size = 0};
    sf_range range;
    random_range(dice, bounds, &range);
    sf_cursor *cursor = sf_view_map(view, address, side.handle, &range);
    for (int begun = 0; !c->violation[0]; begun = 1) {
        const struct model_entry *wanted = following(side.map, &range, begun ? &at : NULL);
        const sf_entry *seen = sf_next(cursor);
        if (!seen != !wanted || (seen && compare(seen->key, key_of(wanted)) != 0))
            differs(c, "a view of a map has another entry");
        if (!seen || !wanted)
            break;
        side.same(c, "an entry in a view", seen->value, wanted);
        at = *wanted;
    }
    if (sf_cursor_error(cursor) < 0)
        differs(c, "a view of a map ends with an error");
}

static void view_log(struct collections *c, sf_view *view, sf_address address, int backwards)
{
    const struct model *now = &c->now;
    sf_cursor *cursor = sf_view_list(view, address, &logbook, backwards);
    for (int i = 0; i <= now->log_count && !c->violation[0]; i++) {
        const sf_entry *seen = sf_next(cursor);
        if (!seen != (i == now->log_count))
            differs(c, "a view of the log ends at %d of %d", i, now->log_count);
        if (seen)
            same_bytes(c, "an element in a view", seen->value,
                       &now->log[backwards ? now->log_count - 1 - i : i]);
    }
    if (sf_cursor_error(cursor) < 0)
        differs(c, "a view of the log ends with an error");
}

void collector_look(sf_runtime *rt, struct collections *c, uint64_t dice)
{
    sf_view *view;
    if (sf_view_open(rt, &view) < 0)
        abort();
    for (int i = 0; i < MODEL_ACTORS; i++) {
        char id[2] = {(char)('0' + i), 0};
        sf_address address = sf_addr("test/collector", id);
        sf_bytes state = sf_view_state(view, address);
        uint64_t version = state.data ? ((const struct collector *)state.data)->version : 0;
        c->now = c->models[i][version % MODEL_VERSIONS];
        if (version < c->now.version && (c->now.version - version) % MODEL_VERSIONS == 0)
            continue; /* the disk is so far behind that it is forgotten */
        if (version != c->now.version)
            differs(c, "a view has version %llu, %llu is known, view says %d", (unsigned long long)version,
                    (unsigned long long)c->now.version, sf_view_error(view));
        view_map(c, view, address, 0, &dice);
        view_map(c, view, address, 1, &dice);
        view_log(c, view, address, (int)below(&dice, 2));
    }
    sf_view_close(view);
}
