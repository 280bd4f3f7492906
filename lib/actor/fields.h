/* fields.h - the text that SF_STRUCT() keeps of a struct: where each of its fields lies.
 *
 *      "uint64_t free, reserved; char shelf[8]; struct { float x, y; } corners[2];"
 *          |  parse: what the C compiler made of it, or a sentence that says what is not understood
 *          v
 *      fields, each with the next one beside it; one that is a struct, with the first within it
 *
 * (1) A text comes from a program or from disk, and none is believed: whatever it says, parsing
 *     takes time and memory in proportion to its length, and at most SFI_FIELDS_DEEP calls within
 *     each other.
 * (2) What was parsed lies inside of a struct of at most SF_STATE_MAX bytes: each field with all
 *     its elements within what is around it.  So who copies by fields copies nothing else.
 * (3) Sizes and alignments are those of this compiler.  A struct that the program lays out in
 *     another way (packed, aligned) is told from ours by its size, at registration. */
#ifndef SFI_ACTOR_FIELDS_H
#define SFI_ACTOR_FIELDS_H

#include "base/sys.h"
#include "statefun.h"

enum { SFI_FIELDS_DEEP = 8, SFI_FIELD_NAME_MAX = 63 };

enum sfi_field_kind {
    SFI_FIELD_UNSIGNED = 1,
    SFI_FIELD_SIGNED,
    SFI_FIELD_FLOAT,
    SFI_FIELD_CHAR,
    SFI_FIELD_BOOL,
    SFI_FIELD_STRUCT
};

struct sfi_field {
    const char *name; /* in the text */
    uint8_t name_size;
    uint8_t kind;
    uint16_t next;  /* beside it; 0: it is the last */
    uint16_t first; /* within a struct, shared by those declared together; else 0 */
    uint32_t at;    /* from the start of what is around it */
    uint32_t size;  /* of one element of its innermost dimension */
    uint32_t inner; /* of them in one of its outermost; */
    uint32_t count; /* of these; both are 1 if it is no array */
};

struct sfi_fields {
    uint32_t size;  /* of the whole struct */
    uint16_t first; /* a place in all[], where the first is unused */
    uint16_t count;
    struct sfi_field all[];
};

/* Up to SF_FIELDS_MAX characters, borrowed.  The result is freed with sfi_free().  SF_EINVAL: a
 * sentence about the first thing that is not understood; SF_ENOMEM. */
int sfi_fields_parse(const struct sfi_sys *sys, const char *text, struct sfi_fields **out);

/* The same fields at the same places? */
int sfi_fields_are_equal(const struct sfi_fields *a, const struct sfi_fields *b);

/* The name of what a field holds: "uint32_t", "a struct". */
const char *sfi_field_type(const struct sfi_field *field);

#endif
