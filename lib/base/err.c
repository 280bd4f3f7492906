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

const char *sf_errmsg(void)
{
    return sentence;
}
