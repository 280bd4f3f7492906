#include "actor/carry.h"

#include <string.h>

#include "base/err.h"

/* The field of that name beside `first`; NULL: there is none. */
static const struct sfi_field *find(const struct sfi_fields *in, uint16_t first,
                                    const struct sfi_field *named)
{
    for (uint16_t i = first; i; i = in->all[i].next)
        if (in->all[i].name_size == named->name_size &&
            memcmp(in->all[i].name, named->name, named->name_size) == 0)
            return &in->all[i];
    return NULL;
}

/* Does every number of the one have its place in the other? */
static int is_wider(const struct sfi_field *from, const struct sfi_field *to)
{
    if (from->kind == to->kind)
        return from->kind == SFI_FIELD_STRUCT || from->size <= to->size;
    return from->kind == SFI_FIELD_UNSIGNED && to->kind == SFI_FIELD_SIGNED &&
           from->size < to->size;
}

static int check_field(const struct sfi_field *from, const struct sfi_field *to)
{
    int size = to->name_size;
    if (!is_wider(from, to))
        return sfi_err(SF_EINVAL, "its field '%.*s' was %s and is %s now", size, to->name,
                       sfi_field_type(from), sfi_field_type(to));
    if (from->inner != to->inner)
        return sfi_err(SF_EINVAL, "its field '%.*s' has other inner dimensions now", size,
                       to->name);
    if (from->count > to->count)
        return sfi_err(SF_EINVAL, "its field '%.*s' had %u elements and has %u now", size, to->name,
                       from->count, to->count);
    return 0;
}

static int check_members(const struct sfi_fields *from, uint16_t first, const struct sfi_fields *to,
                         uint16_t i)
{
    int rc = 0;
    for (; i && rc == 0; i = to->all[i].next) {
        const struct sfi_field *old = find(from, first, &to->all[i]);
        rc = old ? check_field(old, &to->all[i]) : 0;
        if (old && rc == 0)
            rc = check_members(from, old->first, to, to->all[i].first);
    }
    return rc;
}

int sfi_carry_check(const struct sfi_fields *from, const struct sfi_fields *to)
{
    return check_members(from, from->first, to, to->first);
}

static uint64_t read_unsigned(const void *from, size_t size)
{
    uint8_t one;
    uint16_t two;
    uint32_t four;
    if (size == 1)
        return memcpy(&one, from, size), one;
    if (size == 2)
        return memcpy(&two, from, size), two;
    return memcpy(&four, from, size), four;
}

static int64_t read_signed(const void *from, size_t size)
{
    uint64_t bits = read_unsigned(from, size), sign = UINT64_C(1) << (8 * size - 1);
    return (int64_t)(bits ^ sign) - (int64_t)sign;
}

static void write_number(void *to, size_t size, uint64_t number)
{
    uint16_t two = (uint16_t)number;
    uint32_t four = (uint32_t)number;
    memcpy(to, size == 2 ? (const void *)&two : size == 4 ? (const void *)&four : &number, size);
}

/* From a narrower one. */
static void widen(const struct sfi_field *from, const char *old, const struct sfi_field *to,
                  char *fresh)
{
    float number;
    if (from->kind == SFI_FIELD_FLOAT) {
        memcpy(&number, old, sizeof number);
        double wide = (double)number;
        memcpy(fresh, &wide, sizeof wide);
    } else {
        uint64_t wide = from->kind == SFI_FIELD_SIGNED ? (uint64_t)read_signed(old, from->size)
                                                       : read_unsigned(old, from->size);
        write_number(fresh, to->size, wide);
    }
}

static void carry_members(const struct sfi_fields *from, uint16_t first, const char *old,
                          const struct sfi_fields *to, uint16_t i, char *fresh);

static void carry_field(const struct sfi_fields *from, const struct sfi_field *a, const char *old,
                        const struct sfi_fields *to, const struct sfi_field *b, char *fresh)
{
    size_t elements = (size_t)a->count * a->inner;
    if (a->kind != SFI_FIELD_STRUCT && a->size == b->size) {
        memcpy(fresh, old, elements * a->size);
        return;
    }
    for (size_t n = 0; n < elements; n++, old += a->size, fresh += b->size)
        if (a->kind == SFI_FIELD_STRUCT)
            carry_members(from, a->first, old, to, b->first, fresh);
        else
            widen(a, old, b, fresh);
}

static void carry_members(const struct sfi_fields *from, uint16_t first, const char *old,
                          const struct sfi_fields *to, uint16_t i, char *fresh)
{
    for (; i; i = to->all[i].next) {
        const struct sfi_field *b = &to->all[i], *a = find(from, first, b);
        if (a)
            carry_field(from, a, old + a->at, to, b, fresh + b->at);
    }
}

void sfi_carry(const struct sfi_fields *from, const void *old, const struct sfi_fields *to,
               void *fresh)
{
    carry_members(from, from->first, old, to, to->first, fresh);
}
