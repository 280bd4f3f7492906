/* disk_states.c - see disk_states.h. */
#define _GNU_SOURCE
#include "support/disk_states.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PENDING_MAX = 1 << 18 };

/* What the last state was, for disk_states_write_again(). */
static struct {
    uint64_t size;
    enum disk_name name;
} last;

static void die(const char *what)
{
    perror(what);
    _exit(2);
}

int disk_states_init(struct disk_states *disk, uint64_t sector, uint64_t bytes_max)
{
    *disk = (struct disk_states){.sector = sector, .bytes_max = bytes_max};
    disk->synced = calloc(1, bytes_max);
    disk->image = calloc(1, bytes_max);
    disk->pending = calloc(PENDING_MAX, sizeof *disk->pending);
    return disk->synced && disk->image && disk->pending ? 0 : -1;
}

void disk_states_fini(struct disk_states *disk)
{
    free(disk->synced);
    free(disk->image);
    free(disk->pending);
}

/* -- follow ----------------------------------------------------------------------------------- */

static void apply(unsigned char *image, uint64_t *size, const struct disk_sector *part,
                  size_t bytes)
{
    if (part->at > *size)
        memset(image + *size, 0, part->at - *size);
    memcpy(image + part->at, part->bytes, bytes);
    if (part->at + bytes > *size)
        *size = part->at + bytes;
}

/* A sector reaches the disk whole, so whatever was written to it before does too. */
static void touch_sector(struct disk_states *disk, uint64_t at)
{
    for (size_t i = 0; disk->lost_count && i < disk->pending_count; i++) {
        struct disk_sector *part = &disk->pending[i];
        if (part->is_lost && part->at / disk->sector == at / disk->sector) {
            part->is_lost = 0;
            disk->lost_count--;
        }
    }
}

static void add_write(struct disk_states *disk, const struct disk_entry *entry, int is_lost)
{
    const unsigned char *bytes = (const unsigned char *)(entry + 1);
    disk->name = disk->name == DISK_ABSENT ? DISK_NEW : disk->name;
    for (uint64_t done = 0; done < entry->size;) {
        uint64_t at = entry->at + done, size = disk->sector - at % disk->sector;
        size = size < entry->size - done ? size : entry->size - done;
        if (disk->pending_count == PENDING_MAX || at + size > disk->bytes_max)
            die("the workload is too large");
        touch_sector(disk, at);
        disk->pending[disk->pending_count++] =
            (struct disk_sector){at, bytes + done, disk->log_at, (uint16_t)size, 0, is_lost};
        disk->lost_count += (size_t)is_lost;
        done += size;
    }
}

/* Writes to the disk what was entered before `before` and lies in [from, to). */
static void sync_range(struct disk_states *disk, size_t before, uint64_t from, uint64_t to)
{
    size_t left = 0;
    for (size_t i = 0; i < disk->pending_count; i++) {
        struct disk_sector part = disk->pending[i];
        if (part.entered <= before && !part.is_lost && part.at >= from && part.at < to)
            apply(disk->synced, &disk->size, &part, part.size);
        else
            disk->pending[left++] = part;
    }
    disk->pending_count = left;
}

static void sync_write(struct disk_states *disk, const struct disk_entry *entry)
{
    uint64_t from = entry->at / disk->sector * disk->sector;
    add_write(disk, entry, 0);
    sync_range(disk, disk->log_at, from, entry->at + entry->size);
}

static void sync_all(struct disk_states *disk, size_t before)
{
    sync_range(disk, before, 0, UINT64_MAX);
    if (disk->extended > disk->size) {
        memset(disk->synced + disk->size, 0, disk->extended - disk->size);
        disk->size = disk->extended;
    }
}

static void lose(struct disk_states *disk, size_t before)
{
    for (size_t i = 0; i < disk->pending_count; i++) {
        struct disk_sector *part = &disk->pending[i];
        if (part->entered <= before && !part->is_lost) {
            part->is_lost = 1;
            disk->lost_count++;
        }
    }
}

static void start_anew(struct disk_states *disk)
{
    disk->size = disk->extended = 0;
    disk->pending_count = disk->lost_count = 0;
    disk->name = disk->name_synced = DISK_ABSENT;
}

static void resize(struct disk_states *disk, uint64_t size)
{
    if (size > disk->bytes_max)
        die("the workload is too large");
    disk->extended = size;
    if (size < disk->size)
        disk->size = size;
}

static void learn(struct disk_states *disk, const struct disk_entry *entry)
{
    disk->known.newest[entry->op - DISK_OPS] = entry->at;
}

static void follow(struct disk_states *disk, const struct disk_entry *entry)
{
    switch ((enum disk_op)entry->op) {
    case DISK_WRITE:
        add_write(disk, entry, 0);
        break;
    case DISK_WRITE_LOST:
        add_write(disk, entry, 1);
        break;
    case DISK_WRITE_SYNCED:
        sync_write(disk, entry);
        break;
    case DISK_SYNC:
        sync_all(disk, entry->at);
        break;
    case DISK_SYNC_FAILED:
        lose(disk, entry->at);
        break;
    case DISK_SIZE:
        resize(disk, entry->at);
        break;
    case DISK_RENAME:
        disk->name = DISK_DATA;
        break;
    case DISK_UNLINK:
        start_anew(disk);
        break;
    case DISK_DIR_SYNC:
        disk->name_synced = disk->name;
        break;
    default:
        learn(disk, entry);
    }
}

int disk_states_follow(struct disk_states *disk)
{
    const struct disk_entry *entry = disk_log_next(&disk->log_at);
    if (!entry)
        return -1;
    follow(disk, entry);
    if (entry->op == DISK_FED)
        return 0;
    return disk->pending_count || disk->name != disk->name_synced ? 4 : 1;
}

/* -- states ----------------------------------------------------------------------------------- */

/* Anywhere in its sector, or, so that short writes are torn as often as long ones, between two of its own
 * words. */
static uint16_t tear(const struct disk_sector *part, uint64_t sector, struct dice *dice)
{
    if (part->size < 16 || dice_below(dice, 2))
        return (uint16_t)(2 + dice_below(dice, sector - 2));
    return (uint16_t)(8 * (1 + dice_below(dice, part->size / 8 - 1)));
}

/* keep: 0: lost; 1: whole; else so many bytes. */
static void pick(struct disk_states *disk, uint64_t kind, struct dice *dice)
{
    size_t count = disk->pending_count, one = dice_below(dice, count);
    uint64_t odds = 1 + dice_below(dice, 7);
    for (size_t i = 0; i < count; i++) {
        int keeps[] = {0,        /* nothing */
                       1,        /* all */
                       i != one, /* all but one */
                       i == one, /* only one */
                       i < one,  /* a prefix */
                       i < one,  /* a prefix, and a part of the next one */
                       kind >= 6 && dice_below(dice, 8) < odds};
        disk->pending[i].keep = (uint16_t)keeps[kind < 6 ? kind : 6];
    }
    if (kind == 5 && count)
        disk->pending[one].keep = tear(&disk->pending[one], disk->sector, dice);
}

static void write_file(const char *dir, const char *name, const void *bytes, size_t size)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        die(path);
    close(fd);
}

static void remove_files(const char *dir)
{
    static const char *const files[] = {"lock.mdb", "data.mdb", "data.mdb.new",
                                        "data.mdb.new-lock"};
    char path[400];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
}

void disk_states_write_again(const struct disk_states *disk, const char *dir)
{
    remove_files(dir);
    if (last.name != DISK_ABSENT)
        write_file(dir, last.name == DISK_DATA ? "data.mdb" : "data.mdb.new", disk->image,
                   last.size);
}

void disk_states_write(struct disk_states *disk, uint64_t kind, struct dice *dice, const char *dir)
{
    uint64_t size = disk->size, end = disk->size > disk->extended ? disk->size : disk->extended;
    memcpy(disk->image, disk->synced, disk->size);
    pick(disk, kind, dice);
    for (size_t i = 0; i < disk->pending_count; i++) {
        const struct disk_sector *part = &disk->pending[i];
        end = part->at + part->size > end ? part->at + part->size : end;
        if (part->keep)
            apply(disk->image, &size, part,
                  part->keep > 1 && part->keep < part->size ? part->keep : part->size);
    }
    memset(disk->image + size, 0, end - size);
    last.size = dice_below(dice, 4) ? size : end;
    last.name = dice_below(dice, 2) ? disk->name : disk->name_synced;
    disk_states_write_again(disk, dir);
}
