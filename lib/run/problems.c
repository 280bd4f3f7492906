#include "run/problems.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

enum { KEY_SHOWN = 64, TEXT_MAX = 700 };

void sfi_problems_init(struct sfi_problems *problems, const struct sfi_sys *sys)
{
    *problems = (struct sfi_problems){.count = 0};
    sfi_arena_init(&problems->arena, sys);
}

void sfi_problems_fini(struct sfi_problems *problems)
{
    sfi_arena_fini(&problems->arena);
}

/* Letters as they are, all else as \xHH. */
static void escape(sf_bytes key, char out[4 * KEY_SHOWN + 4])
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = key.data;
    size_t shown = key.size < KEY_SHOWN ? key.size : KEY_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        if (bytes[i] > ' ' && bytes[i] < 127 && bytes[i] != '\\') {
            *out++ = (char)bytes[i];
            continue;
        }
        const char code[] = {'\\', 'x', digits[bytes[i] >> 4], digits[bytes[i] & 15]};
        memcpy(out, code, sizeof code);
        out += sizeof code;
    }
    memcpy(out, shown < key.size ? "..." : "\0\0\0", 4);
}

static void write_sentence(char text[TEXT_MAX], sf_bytes table, sf_bytes key)
{
    char shown[4 * KEY_SHOWN + 4];
    int size = (int)(table.size < 40 ? table.size : 40);
    if (key.data) {
        escape(key, shown);
        snprintf(text, TEXT_MAX, "table '%.*s', key %s: %s", size, (const char *)table.data, shown,
                 sf_errmsg());
    } else
        snprintf(text, TEXT_MAX, "table '%.*s': %s", size, (const char *)table.data, sf_errmsg());
}

int sfi_problems_add(struct sfi_problems *problems, sf_bytes table, sf_bytes key)
{
    char text[TEXT_MAX];
    if (problems->count++ >= SFI_PROBLEMS_MAX)
        return 0;
    write_sentence(text, table, key);
    size_t size = strlen(text) + 1;
    struct sfi_problem *problem = sfi_arena_alloc(&problems->arena, sizeof *problem + size);
    if (!problem)
        return sfi_err(SF_ENOMEM, "out of memory");
    problem->next = NULL;
    memcpy(problem->sentence, text, size);
    if (problems->last)
        problems->last->next = problem;
    else
        problems->first = problem;
    problems->last = problem;
    return 0;
}

void sfi_problems_tell(const struct sfi_problems *problems, sf_problem *tell, void *userdata)
{
    for (const struct sfi_problem *problem = problems->first; problem; problem = problem->next)
        tell(problem->sentence, userdata);
}
