#include "run/source.h"

#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"

static int bind_locked(sf_source *source, const char *name, uint32_t partition)
{
    sf_runtime *rt = source->rt;
    struct sfi_position *position;
    int rc = sfi_positions_get(&rt->positions, name, partition, &position);
    if (rc < 0)
        return rc;
    if (position->is_open)
        return sfi_err(SF_EBUSY, "source '%s' partition %u is open already", name, partition);
    position->is_open = 1;
    rt->handles++;
    source->position = position;
    source->skip_upto = position->given;
    return 0;
}

int sfi_source_open(sf_runtime *rt, const char *name, uint32_t partition, sf_source **out)
{
    sf_source *source = sfi_zalloc(rt->sys, sizeof *source);
    if (!source)
        return sfi_err(SF_ENOMEM, "out of memory");
    source->rt = rt;
    pthread_mutex_lock(&rt->lock);
    int rc = bind_locked(source, name, partition);
    pthread_mutex_unlock(&rt->lock);
    if (rc < 0) {
        sfi_free(rt->sys, source);
        return rc;
    }
    *out = source;
    return 0;
}

void sfi_source_close(sf_source *source)
{
    sf_runtime *rt = source->rt;
    if (sfi_life_check(rt, "sf_source_close()") < 0) /* after fork() it is the parent's */
        return;
    pthread_mutex_lock(&rt->lock);
    source->position->is_open = 0;
    rt->handles--;
    pthread_mutex_unlock(&rt->lock);
    sfi_free(rt->sys, source->staged.bytes);
    sfi_free(rt->sys, source);
}

uint64_t sfi_source_position(const sf_source *source)
{
    pthread_mutex_lock(&source->rt->lock);
    uint64_t position = source->position->safe;
    pthread_mutex_unlock(&source->rt->lock);
    return position;
}

static int advance_locked(sf_source *source, uint64_t to)
{
    struct sfi_position *position = source->position;
    int rising = position->given > source->skip_upto; /* something new was taken in already */
    if (to <= source->skip_upto && !rising)
        return 1;
    if (to <= position->given)
        return sfi_err(SF_EINVAL, "source '%s' partition %u: position %llu is not after %llu",
                       position->name, position->partition, (unsigned long long)to,
                       (unsigned long long)position->given);
    int64_t ticket = sfi_inbox_advance(source->rt, &source->staged, position, to);
    if (ticket < 0)
        return (int)ticket;
    position->given = to;
    sfi_poll_signal(source->rt);
    return 0;
}

/* No room keeps what was sent, so that the same call can be made again; all else drops it. */
int sfi_source_advance(sf_source *source, uint64_t position)
{
    int rc = source->error;
    if (rc < 0 && position > source->skip_upto) {
        sfi_err(rc, "%s", source->why);
    } else {
        pthread_mutex_lock(&source->rt->lock);
        rc = advance_locked(source, position);
        pthread_mutex_unlock(&source->rt->lock);
        if (rc == SF_EAGAIN || rc == SF_EDISK)
            return rc;
    }
    sfi_buffer_clear(&source->staged, source->rt->sys);
    source->error = 0;
    return rc;
}
