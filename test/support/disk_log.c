/* disk_log.c - see disk_log.h. */
#define _GNU_SOURCE
#include "support/disk_log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOG_BYTES = 1 << 30 };

static struct {
    pthread_mutex_t lock;
    size_t used;
    uint64_t life_ops;
    struct disk_known known;
    _Alignas(8) unsigned char bytes[];
} * record;
static int is_on;

int disk_log_init(void)
{
    enum { FLAGS = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE };
    record = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, FLAGS, -1, 0);
    return record == MAP_FAILED ? -1 : 0;
}

void disk_log_renew(void)
{
    pthread_mutex_init(&record->lock, NULL);
    record->life_ops = 0;
}

void disk_log_start(void)
{
    is_on = 1;
}

int disk_log_is_on(void)
{
    return is_on;
}

void disk_log_lock(void)
{
    if (is_on)
        pthread_mutex_lock(&record->lock);
}

void disk_log_unlock(void)
{
    if (is_on)
        pthread_mutex_unlock(&record->lock);
}

size_t disk_log_size(void)
{
    return record->used;
}

uint64_t disk_log_life_ops(void)
{
    return record->life_ops;
}

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

void disk_log_add(enum disk_op op, uint64_t at, const void *bytes, size_t size)
{
    struct disk_entry entry = {op, (uint32_t)size, at};
    if (!is_on)
        return;
    if (record->used + sizeof entry + padded(size) > LOG_BYTES - sizeof *record) {
        fputs("the log of the disk is full\n", stderr);
        _exit(2);
    }
    memcpy(record->bytes + record->used, &entry, sizeof entry);
    if (size)
        memcpy(record->bytes + record->used + sizeof entry, bytes, size);
    record->used += sizeof entry + padded(size);
    record->life_ops += op < DISK_OPS;
}

void disk_log_tell(enum disk_op op, uint64_t number)
{
    disk_log_lock();
    if (is_on && number != record->known.newest[op - DISK_OPS]) {
        disk_log_add(op, number, NULL, 0);
        record->known.newest[op - DISK_OPS] = number;
    }
    disk_log_unlock();
}

const struct disk_known *disk_log_known(void)
{
    return &record->known;
}

const struct disk_entry *disk_log_next(size_t *at)
{
    const struct disk_entry *entry = (const struct disk_entry *)(record->bytes + *at);
    if (*at >= record->used)
        return NULL;
    *at += sizeof *entry + padded(entry->size);
    return entry;
}
