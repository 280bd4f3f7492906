/* rivals.c - the rivals there are.  One that was not linked, because its package is not installed,
 * is not there. */
#include "rival.h"

extern const struct rival rival_lmdb, rival_lmdb_writemap, rival_sqlite __attribute__((weak)),
    rival_rocksdb __attribute__((weak));

static const struct rival *const rivals[] = {&rival_lmdb, &rival_lmdb_writemap, &rival_sqlite,
                                             &rival_rocksdb};

const struct rival *rival_at(size_t index)
{
    for (size_t i = 0; i < sizeof rivals / sizeof *rivals; i++)
        if (rivals[i] && index-- == 0)
            return rivals[i];
    return NULL;
}

const struct rival *rival_find(const char *name)
{
    const struct rival *rival;

    for (size_t i = 0; (rival = rival_at(i)) != NULL; i++)
        if (!strcmp(rival->name, name))
            return rival;
    fprintf(stderr, "--rival: there is no '%s' in this build\n", name);
    exit(RIVAL_ABSENT);
}
