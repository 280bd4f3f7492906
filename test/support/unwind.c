/* unwind.c - see unwind.h. */
#include <stdlib.h>
#include <unwind.h>

#include "support/unwind.h"

static _Unwind_Reason_Code stop(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                struct _Unwind_Exception *exception,
                                struct _Unwind_Context *context, void *arg)
{
    struct catcher *catcher = arg;
    (void)version, (void)actions, (void)class, (void)exception;
    if ((uintptr_t)_Unwind_GetCFA(context) > catcher->place)
        longjmp(catcher->out, 1);
    return _URC_NO_REASON;
}

void throw_to(struct catcher *catcher)
{
    static _Thread_local struct _Unwind_Exception exception;
    exception = (struct _Unwind_Exception){0};
    _Unwind_ForcedUnwind(&exception, stop, catcher);
    abort();
}
