#include "run/source.h"

#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "run/runtime.h"
#include "store/record.h"

enum { POSITION_BYTES = SFI_RECORD_HEADER + 8 };

void sfi_sources_fini(struct sfi_sources *sources, const struct sfi_sys *sys)
{
    for (struct sfi_source *source = sources->first, *next; source; source = next) {
        next = source->next;
        sfi_free(sys, source);
    }
    sources->first = NULL;
}

static struct sfi_source *find(struct sfi_sources *sources, const char *name, uint32_t partition)
{
    struct sfi_source *source = sources->first;
    while (source && (source->partition != partition || strcmp(source->name, name) != 0))
        source = source->next;
    return source;
}

static struct sfi_source *add(struct sfi_sources *sources, const struct sfi_sys *sys, const char *name,
                              size_t size, uint32_t partition)
{
    struct sfi_source *source = sfi_zalloc(sys, sizeof *source + size + 1);
    if (!source)
        return NULL;
    memcpy(source->name, name, size);
    source->partition = partition;
    source->next = sources->first;
    sources->first = source;
    return source;
}

int sfi_source_load(struct sfi_sources *sources, const struct sfi_sys *sys, sf_bytes key, sf_bytes record)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_SOURCE, &payload);
    if (rc < 0)
        return rc;
    if (payload.size != 8 || key.size < 6)
        return sfi_err(SF_ECORRUPT, "the record of a source has %zu bytes", payload.size);
    const unsigned char *bytes = key.data;
    struct sfi_source *source =
        add(sources, sys, (const char *)bytes + 5, key.size - 5, sfi_be32_get(bytes + 1));
    if (!source)
        return sfi_err(SF_ENOMEM, "out of memory");
    source->taken = source->reached = source->sealed = source->durable = sfi_le64_get(payload.data);
    return 0;
}

/* -- the application's side ------------------------------------------------------------------------ */

static int bind_locked(sf_runtime *rt, const char *name, uint32_t partition, sf_source *handle)
{
    struct sfi_source *source = find(&rt->sources, name, partition);
    if (source && source->is_open)
        return sfi_err(SF_EBUSY, "source '%s' partition %u is open already", name, partition);
    if (!source)
        source = add(&rt->sources, rt->sys, name, strlen(name), partition);
    if (!source)
        return sfi_err(SF_ENOMEM, "out of memory");
    source->is_open = 1;
    rt->handles++;
    handle->source = source;
    handle->skip_upto = source->taken;
    return 0;
}

int sfi_source_open(sf_runtime *rt, const char *name, uint32_t partition, sf_source **out)
{
    sf_source *handle = sfi_zalloc(rt->sys, sizeof *handle);
    if (!handle)
        return sfi_err(SF_ENOMEM, "out of memory");
    handle->rt = rt;
    pthread_mutex_lock(&rt->lock);
    int rc = bind_locked(rt, name, partition, handle);
    pthread_mutex_unlock(&rt->lock);
    if (rc < 0) {
        sfi_free(rt->sys, handle);
        return rc;
    }
    *out = handle;
    return 0;
}

void sfi_source_close(sf_source *handle)
{
    sf_runtime *rt = handle->rt;
    pthread_mutex_lock(&rt->lock);
    handle->source->is_open = 0;
    rt->handles--;
    pthread_mutex_unlock(&rt->lock);
    sfi_free(rt->sys, handle->staged.bytes);
    sfi_free(rt->sys, handle);
}

uint64_t sfi_source_position(const sf_source *handle)
{
    pthread_mutex_lock(&handle->rt->lock);
    uint64_t position = handle->source->durable;
    pthread_mutex_unlock(&handle->rt->lock);
    return position;
}

static int advance_locked(sf_source *handle, uint64_t position)
{
    struct sfi_source *source = handle->source;
    int rising = source->taken > handle->skip_upto; /* something new was taken in already */
    if (position <= handle->skip_upto && !rising)
        return 1;
    if (position <= source->taken)
        return sfi_err(SF_EINVAL, "source '%s' partition %u: position %llu is not behind %llu",
                       source->name, source->partition, (unsigned long long)position,
                       (unsigned long long)source->taken);
    int64_t ticket = sfi_inbox_advance(handle->rt, &handle->staged, source, position);
    if (ticket < 0)
        return (int)ticket;
    source->taken = position;
    sfi_poll_signal(handle->rt);
    return 0;
}

/* SF_EAGAIN keeps what was sent, so that the same call can be made again; all else drops it. */
int sfi_source_advance(sf_source *handle, uint64_t position)
{
    int rc = handle->error;
    if (rc < 0 && position > handle->skip_upto) {
        sfi_err(rc, "%s", handle->why);
    } else {
        pthread_mutex_lock(&handle->rt->lock);
        rc = advance_locked(handle, position);
        pthread_mutex_unlock(&handle->rt->lock);
        if (rc == SF_EAGAIN)
            return rc;
    }
    handle->staged.used = 0;
    handle->error = 0;
    return rc;
}

/* -- the engine's side ------------------------------------------------------------------------------ */

int sfi_sources_dirty(const struct sfi_sources *sources)
{
    for (const struct sfi_source *source = sources->first; source; source = source->next)
        if (source->dirty)
            return 1;
    return 0;
}

static int save(const struct sfi_source *source, struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_source(&key, source->partition, source->name);
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), POSITION_BYTES);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_le64_put(record + SFI_RECORD_HEADER, source->reached);
    sfi_record_seal(record, POSITION_BYTES, SFI_RECORD_SOURCE, sfi_key_bytes(&key));
    return 0;
}

int sfi_sources_save(const struct sfi_sources *sources, struct sfi_batch *batch)
{
    int rc = 0;
    for (const struct sfi_source *source = sources->first; source && rc == 0; source = source->next)
        if (source->dirty)
            rc = save(source, batch);
    return rc;
}

void sfi_sources_saved(struct sfi_sources *sources)
{
    for (struct sfi_source *source = sources->first; source; source = source->next) {
        source->sealed = source->reached;
        source->dirty = 0;
    }
}

void sfi_sources_published(struct sfi_sources *sources)
{
    for (struct sfi_source *source = sources->first; source; source = source->next)
        source->durable = source->sealed;
}
