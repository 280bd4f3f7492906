#include "actor/fields.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

/* -- what the compiler does ------------------------------------------------------------------------ */

struct scalar {
    const char *name;
    enum sfi_field_kind kind;
    uint32_t size, alignment; /* inside of a struct */
};

#define SCALAR(type, its_kind)         \
    {                                  \
#type, its_kind, sizeof(type), \
            offsetof(                  \
                struct {               \
                    char c;            \
                    type it;           \
                },                     \
                it)                    \
    }

static const struct scalar scalars[] = {
    SCALAR(uint8_t, SFI_FIELD_UNSIGNED),
    SCALAR(uint16_t, SFI_FIELD_UNSIGNED),
    SCALAR(uint32_t, SFI_FIELD_UNSIGNED),
    SCALAR(uint64_t, SFI_FIELD_UNSIGNED),
    SCALAR(int8_t, SFI_FIELD_SIGNED),
    SCALAR(int16_t, SFI_FIELD_SIGNED),
    SCALAR(int32_t, SFI_FIELD_SIGNED),
    SCALAR(int64_t, SFI_FIELD_SIGNED),
    SCALAR(float, SFI_FIELD_FLOAT),
    SCALAR(double, SFI_FIELD_FLOAT),
    SCALAR(char, SFI_FIELD_CHAR),
    {"_Bool", SFI_FIELD_BOOL, sizeof(bool), sizeof(bool)},
    {"bool", SFI_FIELD_BOOL, sizeof(bool), sizeof(bool)},
};

enum { SCALARS = sizeof scalars / sizeof *scalars };

const char *sfi_field_type(const struct sfi_field *field)
{
    for (int i = 0; i < SCALARS; i++)
        if (scalars[i].kind == field->kind && scalars[i].size == field->size)
            return scalars[i].name;
    return "a struct";
}

/* -- words ----------------------------------------------------------------------------------------- */

/* Where reading is, and what came of it.  The fields have room for as many as the text can name. */
struct reader {
    const char *at;
    struct sfi_fields *fields;
    int deep;
};

struct word {
    const char *text;
    size_t size;
};

/* What lies around it grows while members are read. */
struct extent {
    uint64_t size;
    uint32_t alignment;
};

static void skip_space(struct reader *reader)
{
    while (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n')
        reader->at++;
}

static int is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int take(struct reader *reader, char c)
{
    skip_space(reader);
    if (*reader->at != c)
        return 0;
    reader->at++;
    return 1;
}

static struct word take_word(struct reader *reader)
{
    skip_space(reader);
    struct word word = {reader->at, 0};
    if (is_letter(*reader->at))
        while (is_letter(*reader->at) || is_digit(*reader->at))
            reader->at++, word.size++;
    return word;
}

static int is_word(struct word word, const char *text)
{
    return word.size == strlen(text) && memcmp(word.text, text, word.size) == 0;
}

static int not_understood(const struct reader *reader, const char *expected)
{
    return sfi_err(SF_EINVAL, "%s was expected at '%.30s'", expected, reader->at);
}

static int too_large(void)
{
    return sfi_err(SF_EINVAL, "a struct has at most %d bytes", SF_STATE_MAX);
}

/* -- members --------------------------------------------------------------------------------------- */

/* Decimal, which is what sizes are after the preprocessor, or are not understood. */
static int take_number(struct reader *reader, uint32_t *out)
{
    uint64_t number = 0;
    skip_space(reader);
    if (!is_digit(*reader->at) || *reader->at == '0')
        return not_understood(reader, "a decimal number of elements");
    for (; is_digit(*reader->at); reader->at++) {
        number = number * 10 + (uint64_t)(*reader->at - '0');
        if (number > SF_STATE_MAX)
            return too_large();
    }
    *out = (uint32_t)number;
    return 0;
}

/* "[2][3]": two elements of three. */
static int take_dimensions(struct reader *reader, struct sfi_field *field)
{
    field->count = field->inner = 1;
    for (int is_first = 1; take(reader, '['); is_first = 0) {
        uint32_t number = 0;
        int rc = take_number(reader, &number);
        if (rc < 0)
            return rc;
        if (!take(reader, ']'))
            return not_understood(reader, "']'");
        if (is_first)
            field->count = number;
        else if ((uint64_t)field->inner * number > SF_STATE_MAX)
            return too_large();
        else
            field->inner *= number;
    }
    return 0;
}

/* Where it lies, after what came before it. */
static int place(struct sfi_field *field, uint32_t alignment, struct extent *around)
{
    uint64_t at = (around->size + alignment - 1) / alignment * alignment;
    uint64_t elements = (uint64_t)field->count * field->inner; /* of at most 2^20 each */
    if (elements > SF_STATE_MAX || at + elements * field->size > SF_STATE_MAX)
        return too_large();
    field->at = (uint32_t)at;
    around->size = at + elements * field->size;
    if (alignment > around->alignment)
        around->alignment = alignment;
    return 0;
}

/* One more field, after `last` beside it, or the first. */
static uint16_t append(struct sfi_fields *fields, const struct sfi_field *field, uint16_t *first,
                       uint16_t last)
{
    uint16_t at = ++fields->count;
    fields->all[at] = *field;
    *(last ? &fields->all[last].next : first) = at;
    return at;
}

/* A name with its dimensions. */
static int take_name(struct reader *reader, struct sfi_field *field)
{
    struct word name = take_word(reader);
    if (name.size == 0)
        return not_understood(reader, "a name");
    if (name.size > SFI_FIELD_NAME_MAX)
        return sfi_err(SF_EINVAL, "a field's name has at most %d characters", SFI_FIELD_NAME_MAX);
    field->name = name.text;
    field->name_size = (uint8_t)name.size;
    return take_dimensions(reader, field);
}

static int take_members(struct reader *reader, uint16_t *first, struct extent *out);

/* "uint32_t" or "struct { ... }": kind, size and what lies within. */
static int take_type(struct reader *reader, struct sfi_field *field, uint32_t *alignment)
{
    struct word word = take_word(reader);
    *field = (struct sfi_field){.kind = SFI_FIELD_STRUCT};
    if (is_word(word, "struct")) {
        struct extent inside = {0, 1};
        if (!take(reader, '{'))
            return not_understood(reader, "a struct written out, '{',");
        int rc = take_members(reader, &field->first, &inside);
        field->size = (uint32_t)inside.size;
        *alignment = inside.alignment;
        return rc == 0 && !take(reader, '}') ? not_understood(reader, "'}'") : rc;
    }
    for (int i = 0; i < SCALARS; i++)
        if (is_word(word, scalars[i].name)) {
            field->kind = (uint8_t)scalars[i].kind;
            field->size = scalars[i].size;
            *alignment = scalars[i].alignment;
            return 0;
        }
    reader->at = word.text;
    return not_understood(reader, "a type of fixed width, float, double, char or bool");
}

/* "uint32_t a, b[2];" */
static int take_declaration(struct reader *reader, uint16_t *first, uint16_t *last,
                            struct extent *around)
{
    struct sfi_field field;
    uint32_t alignment = 1;
    int rc = take_type(reader, &field, &alignment);
    while (rc == 0) {
        rc = take_name(reader, &field);
        if (rc == 0)
            rc = place(&field, alignment, around);
        if (rc < 0)
            return rc;
        *last = append(reader->fields, &field, first, *last);
        if (!take(reader, ','))
            return take(reader, ';') ? 0 : not_understood(reader, "';'");
    }
    return rc;
}

/* Up to '}' or the end; at least one. */
static int take_members(struct reader *reader, uint16_t *first, struct extent *out)
{
    uint16_t last = 0;
    int rc = 0;
    *first = 0;
    if (++reader->deep > SFI_FIELDS_DEEP)
        return sfi_err(SF_EINVAL, "structs lie within each other more than %d deep",
                       SFI_FIELDS_DEEP);
    do {
        rc = take_declaration(reader, first, &last, out);
        while (rc == 0 && take(reader, ';'))
            ;
        skip_space(reader);
    } while (rc == 0 && *reader->at && *reader->at != '}');
    out->size = (out->size + out->alignment - 1) / out->alignment * out->alignment;
    reader->deep--;
    return rc;
}

int sfi_fields_parse(const struct sfi_sys *sys, const char *text, struct sfi_fields **out)
{
    size_t size = strnlen(text, SF_FIELDS_MAX + 1);
    if (size > SF_FIELDS_MAX)
        return sfi_err(SF_EINVAL, "the text of its fields has more than %d characters",
                       SF_FIELDS_MAX);
    struct sfi_fields *fields = /* a name and what separates it: two characters */
        sfi_zalloc(sys, sizeof *fields + (size / 2 + 2) * sizeof *fields->all);
    if (!fields)
        return sfi_err(SF_ENOMEM, "out of memory");
    struct reader reader = {text, fields, 0};
    struct extent whole = {0, 1};
    int rc = take_members(&reader, &fields->first, &whole);
    if (rc == 0 && *reader.at)
        rc = not_understood(&reader, "a type");
    fields->size = (uint32_t)whole.size;
    if (rc == 0)
        *out = fields;
    else
        sfi_free(sys, fields);
    return rc;
}

static int same_field(const struct sfi_field *a, const struct sfi_field *b)
{
    return a->name_size == b->name_size && memcmp(a->name, b->name, a->name_size) == 0 &&
           a->kind == b->kind && a->at == b->at && a->size == b->size && a->inner == b->inner &&
           a->count == b->count;
}

static int same_members(const struct sfi_fields *a, uint16_t i, const struct sfi_fields *b,
                        uint16_t j)
{
    for (; i && j; i = a->all[i].next, j = b->all[j].next)
        if (!same_field(&a->all[i], &b->all[j]) ||
            !same_members(a, a->all[i].first, b, b->all[j].first))
            return 0;
    return i == j; /* both are over */
}

int sfi_fields_are_equal(const struct sfi_fields *a, const struct sfi_fields *b)
{
    return a->size == b->size && same_members(a, a->first, b, b->first);
}
