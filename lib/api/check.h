/* check.h - what a stranger may pass to more than one public function: 0, or a code and its sentence. */
#ifndef SFI_API_CHECK_H
#define SFI_API_CHECK_H

#include "statefun.h"

int sfi_check_id(sf_address to);
int sfi_check_payload(const sf_runtime *rt, const char *kind, sf_bytes body);
/* A kind that strangers may send: one that begins with a dot is the actor's own. */
int sfi_check_public(const char *kind);
/* A name of an egress or a source. */
int sfi_check_name(const char *what, const char *name);
/* SF_ENOTFOUND. */
int sfi_not_registered(const char *what, const char *name);

#endif
