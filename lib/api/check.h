/* check.h - what a stranger may pass to more than one public function: 0, or a code and its sentence. */
#ifndef SFI_API_CHECK_H
#define SFI_API_CHECK_H

#include "base/rare.h"
#include "statefun.h"

int sfi_bad_id(sf_address to);
static inline int sfi_check_id(sf_address to)
{
    int good = to.id.data && to.id.size >= 1 && to.id.size <= SF_ID_MAX;
    return SFI_RARE(!good) ? sfi_bad_id(to) : 0;
}
int sfi_check_payload(const sf_runtime *rt, const char *kind, sf_bytes body);
/* A kind that strangers may send: one that begins with a dot is the actor's own. */
int sfi_check_public(const char *kind);
/* The same, and how long the kind is; NULL: 0. */
int sfi_check_letter(const sf_runtime *rt, const char *kind, sf_bytes body, size_t *kind_size);
/* A name of an egress or a source. */
int sfi_check_name(const char *what, const char *name);
/* SF_ENOTFOUND. */
int sfi_not_registered(const char *what, const char *name);

#endif
