#include "run/list_time.h"

#include "actor/list_head.h"
#include "run/runtime.h"

int sfi_list_is_over(const struct sfi_list *list, const struct sfi_entry *entry)
{
    return list->expiry.after_ms &&
           sfi_expiry_is_over(&list->expiry, sfi_entry_touched(entry), sfi_work_now_ms(list->work));
}

struct look {
    const struct sfi_list *list;
    uint64_t at;   /* the next element, */
    uint32_t left; /* and how many more may be looked at */
    uint64_t touched;
};

static int take_over(void *ctx, uint64_t number, const struct sfi_entry *entry)
{
    struct look *look = ctx;
    look->at = number;
    if (look->left == 0 || !sfi_list_is_over(look->list, entry))
        return 0;
    look->left--;
    look->at++;
    return 1;
}

/* 1: only so many were looked at. */
int sfi_list_find_living(const struct sfi_list *list, uint32_t most, uint64_t *out)
{
    struct sfi_list_head head;
    sfi_list_head_get(list->slot->data, &head);
    struct look look = {list, head.first, most, 0};
    int rc = list->slot->data ? sfi_list_walk_all(list, 0, 0, take_over, &look) : 0;
    *out = look.at;
    return rc < 0 ? rc : look.left == 0;
}

static int take_one(void *ctx, uint64_t number, const struct sfi_entry *entry)
{
    struct look *look = ctx;
    (void)number;
    look->touched = sfi_entry_touched(entry);
    return 0;
}

int sfi_list_first_touched(const struct sfi_list *list, uint64_t *out)
{
    struct look look = {list, 0, 0, 0};
    int rc = list->slot->data ? sfi_list_walk_all(list, 0, 0, take_one, &look) : 0;
    *out = look.touched;
    return rc;
}

int sfi_list_stamp(const struct sfi_list *list, struct sfi_entry *entry)
{
    struct look look = {list, 0, 0, 0};
    entry->form = 0;
    if (!list->expiry.after_ms)
        return 0;
    int rc = list->slot->data ? sfi_list_walk_all(list, UINT64_MAX, 1, take_one, &look) : 0;
    entry->form = SFI_ENTRY_TOUCHED;
    entry->touched =
        sfi_expiry_touch(&list->expiry, look.touched, sfi_work_now_ms(list->work));
    return rc;
}

int sfi_list_reclaim(const struct sfi_list *list, uint32_t most)
{
    struct sfi_list_head head;
    uint64_t living;
    if (!list->slot->data || !list->expiry.after_ms ||
        sfi_doubt_is_on(&list->work->rt->doubt, list->work->rt->sys))
        return 0;
    sfi_list_head_get(list->slot->data, &head);
    int more = sfi_list_find_living(list, most, &living);
    if (more < 0 || living == head.first)
        return more < 0 ? more : 0;
    int rc = sfi_list_trim(list, head.next - living);
    return rc < 0 ? rc : more && list->slot->data;
}
