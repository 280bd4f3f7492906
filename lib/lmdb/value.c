#include "lmdb/value.h"

#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "lmdb/page.h"

/* The value starts past the head of a run of pages. */
static int fits_its_run(const struct sfi_db *db, const MDB_val *value, size_t page_size)
{
    struct sfi_page_head head;
    MDB_envinfo info;
    uint32_t count;
    memcpy(&head, (const char *)value->mv_data - sizeof head, sizeof head);
    memcpy(&count, &head.lower, sizeof count);
    return head.flags == SFI_PAGE_OVERFLOW && !mdb_env_info(db->env, &info) &&
           head.number <= info.me_last_pgno && count <= info.me_last_pgno - head.number + 1 &&
           value->mv_size <= (uint64_t)count * page_size - sizeof head;
}

int sfi_value_bytes(const struct sfi_db *db, MDB_val value, sf_bytes *out)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    size_t at = (uintptr_t)value.mv_data & (page_size - 1);
    int fits = at == sizeof(struct sfi_page_head) ? fits_its_run(db, &value, page_size)
                                                  : value.mv_size <= page_size - at;
    if (!fits)
        return sfi_err(SF_ECORRUPT,
                       "the database is damaged: a value of %zu bytes has no room for them",
                       value.mv_size);
    *out = sfi_val_bytes(value);
    return 0;
}
