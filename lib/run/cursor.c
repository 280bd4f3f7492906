#include "run/cursor.h"

#include "base/err.h"

static const sf_entry *none_next(sf_cursor *cursor)
{
    (void)cursor;
    return NULL;
}

static int none_error(const sf_cursor *cursor)
{
    return cursor->error;
}

static const struct sfi_cursor_kind none = {none_next, none_error};

/* Never written to. */
sf_cursor *sfi_no_cursor(int error)
{
    static const sf_cursor cursors[] = {{&none, SF_EINVAL, {SF_NONE, SF_NONE}},
                                        {&none, SF_ENOMEM, {SF_NONE, SF_NONE}},
                                        {&none, SF_EFORK, {SF_NONE, SF_NONE}},
                                        {&none, SF_EFAILED, {SF_NONE, SF_NONE}}};
    int at = error == SF_ENOMEM ? 1 : error == SF_EFORK ? 2 : error == SF_EFAILED ? 3 : 0;
    return (sf_cursor *)(uintptr_t)&cursors[at];
}

const sf_entry *sf_next(sf_cursor *cursor)
{
    return cursor ? cursor->kind->next(cursor) : NULL;
}

int sf_cursor_error(const sf_cursor *cursor)
{
    if (!cursor)
        return sfi_err(SF_EINVAL, "sf_cursor_error(): the cursor is NULL");
    return cursor->kind->error(cursor);
}
