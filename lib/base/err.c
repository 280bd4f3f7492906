#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "statefun.h"

enum { SENTENCE_MAX = 512 };

static _Thread_local char sentence[SENTENCE_MAX];

/* Formatted aside first: an argument may be the sentence itself. */
int sfi_err(int code, const char *format, ...)
{
    char fresh[SENTENCE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(fresh, sizeof fresh, format, args);
    va_end(args);
    memcpy(sentence, fresh, sizeof sentence);
    return code;
}

int sfi_err_in(int code, const char *format, ...)
{
    char doing[SENTENCE_MAX / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(doing, sizeof doing, format, args);
    va_end(args);
    return sfi_err(code, "%s: %s", doing, sentence);
}

const char *sf_errname(int code)
{
    static const char *const names[] = {
        "success",      "SF_EINVAL",   "SF_ENOMEM",  "SF_EAGAIN",  "SF_ETIMEOUT", "SF_ENOTFOUND",
        "SF_EFAILED",   "SF_EBUSY",    "SF_ETURN",   "SF_ELOCKED", "SF_EACCESS",  "SF_EFOREIGN",
        "SF_ENEWER",    "SF_ECORRUPT", "SF_EDISK",   "SF_EFORK",   "SF_ECLOSED",
        "SF_EUNKNOWN",
    };
    int count = sizeof names / sizeof names[0];
    if (code > 0)
        code = 0;
    return code > -count ? names[-code] : "unknown";
}

const char *sf_errmsg(void)
{
    return sentence;
}
