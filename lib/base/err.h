/* err.h - the sentence that goes with a code.
 *
 * One sentence a thread, kept until its next failure.  sfi_err() writes it and returns the code, so
 * that a failure reads `return sfi_err(SF_EINVAL, "id: %zu bytes, at most 255", size)`; sfi_err_in()
 * puts what was being done in front of the sentence on its way out: "open 'data': ...". */
#ifndef SFI_BASE_ERR_H
#define SFI_BASE_ERR_H

int sfi_err(int code, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));
int sfi_err_in(int code, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

#endif
