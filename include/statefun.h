/* statefun.h - durable stateful actors inside your own process.
 *
 * MODEL      An actor is an address: a type ("shop/cart") and an id ("ada").  It is never created
 *            or destroyed; it is there when a message reaches it, zeroed at first and after
 *            sf_clear().  A message runs the type's handler once: a turn.  All that a turn did
 *            (state, messages, timers, operations, egress records, and the turns of others that it
 *            called) happens together or not at all.  Turns are committed in groups, epochs;
 *            nothing leaves the process before its epoch is on disk.  What is sent from outside
 *            lies in the inbox until it is taken in: put into its actor's mailbox, in that order.
 * VERBS                      from outside (sf_runtime)    in a turn (sf_turn)
 *            one way         sf_send(), sf_send_once()    sf_tell()
 *            with an answer  sf_ask(), sf_ask_then()      sf_call(): now, both kept or undone
 *                                                         together; or sf_tell(), and the other's
 *                                                         sf_reply() comes as a message later
 *            exactly once    sf_source_send(), then       all of it
 *                            sf_source_advance()
 *            later           sf_send_after()              sf_tell_after(); to oneself
 *                                                         sf_timer_after()
 *            out             sf_egress_register()         sf_emit()
 *            look            sf_view_open()               sf_state(), sf_value_get(),
 *                                                         sf_map_find(), sf_list_scan()
 *            many steps                                   SF_BEGIN(), SF_UNTIL(), SF_END()
 *            slow things     sf_async_done()              sf_async_work(), sf_async_start(),
 *                                                         sf_async_open(), sf_await()
 *            how it ends                                  return 0: kept; sf_fail(): tried again;
 *                                                         sf_reject(): a dead letter.  A "no" to
 *                                                         the sender is a reply, and kept
 * THREADS    One thread at a time drives, and handlers and callbacks run there, never with a lock
 *            of ours held:
 *                sf_step(), sf_run_for(), ...       the thread that calls
 *                sf_runtime_start()                 a thread of ours, until sf_runtime_stop()
 *                a function marked [drives]         the thread that waits in it, when nobody else
 *                                                   drives.  It gives way to others after each step
 *            So without sf_runtime_start() handlers run on any thread that waits, one after the
 *            other, each seeing all that was done before.  To keep them on one thread of yours let
 *            the others use sf_then() and sf_ask_then().  Who may call what:
 *                [any], or no argument of ours      every thread
 *                with an sf_turn                    in its handler, while none that it called runs
 *                with a source, a view, a cursor    one thread at a time
 *                sf_runtime_stop(), _close()        one thread of yours
 *                all others                         one at a time: SF_EBUSY while another drives
 *            In a handler what takes an sf_runtime is SF_ETURN, and its turn will be undone, unless
 *            it says otherwise; in a callback what drives is SF_EBUSY.  The thread that commits
 *            runs no code of yours; those of sf_async_work() only what it was given.
 * LEAVING    A handler or callback that is left by an exception, pthread_exit(), cancellation or
 *            longjmp has failed: the call that drove is over, and the turn is undone by whoever
 *            drives next, on whatever thread.  longjmp alone goes unseen until the same thread
 *            calls again or ends, so until then others get SF_EBUSY; if it drove on a stack of its
 *            own making (a coroutine) it must call from the function that drove, or deeper on that
 *            stack: from elsewhere it is SF_ETURN.  On our thread an exception ends the process:
 *            catch it and sf_fail().  pthread_cancel(), deferred, reaches a thread inside our
 *            functions only while it sleeps in sf_wait(), sf_wait_room() or sf_ask(), and leaves
 *            nothing locked: what was sent is sent.  Otherwise it waits until the function has
 *            returned.  Asynchronous cancellation, and calls from signal handlers, are not allowed.
 *            dlclose() leaves the library loaded, since threads of ours may run in it.
 * FAIRNESS   Messages are handled in the order in which they came, of all actors together.  So an
 *            actor can make others wait for what was sent before: inbox_ms_max bounds that for what
 *            comes from outside, sf_type.waiting_max what one actor may have waiting.  It cannot
 *            make them wait by failing, being paused or being registered late: what waits for it
 *            lies apart, on disk.  Handlers that send more than they take are held back while
 *            messages that wait take a quarter of store_bytes_max.  A handler that blocks stops
 *            all.
 * MEMORY     What you pass is copied, except sf_type, its slots and their names, which are borrowed
 *            until close (so keep them static).  What you are lent is aligned for every type, is
 *            followed by a zero byte, and is gone when the handler or callback returns; in a turn
 *            nothing else that you call moves it.  A struct that begins with its size may be
 *            shorter or longer than here, as programs compiled against other versions make it: what
 *            is missing is 0, and what is not known must be (SF_EINVAL).
 * ERRORS     0, a count or a ticket; else one of SF_E*, and sf_errmsg() has the sentence.  A call
 *            that failed changed nothing, left its outputs alone and will not call you back; but
 *            one that waited or drove in vain (sf_wait, sf_ask, sf_step) has sent what it sent and
 *            run what it ran: after SF_ETIMEOUT or SF_EFAILED from sf_ask() the message counts.
 *            Inside a turn the first failure sticks: later calls do nothing (what they lend is
 *            zeroes, what they count is 0, walks are over), and the turn is undone: no call need be
 *            checked.
 * FORK       Never use a runtime after fork(): every call in the child is SF_EFORK.
 *
 * All times are milliseconds, all sizes bytes.  Every function can be SF_EINVAL (a rule written
 * here was broken), SF_ENOMEM and SF_EFORK, and when no more turns run SF_ECORRUPT or SF_ENEWER;
 * the others that it can be are told beside it.
 *
 * What handlers need comes first: bytes and addresses, types, turns.  Then what is around them:
 * open, send, inputs, outputs, driving, operating, observing, looking in.
 */
#ifndef STATEFUN_H
#define STATEFUN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SF_VERSION 0x000100 /* 0xMMmmpp; sf_version() is that of the library that was linked */

#if defined(__GNUC__)
#define SF_API __attribute__((visibility("default")))
#define SF_MUST __attribute__((warn_unused_result))
#define SF_UNUSED __attribute__((unused))
#define SF_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define SF_API
#define SF_MUST
#define SF_UNUSED
#define SF_PRINTF(text, first)
#endif

SF_API int sf_version(void);

#define SF_SECOND UINT64_C(1000)
#define SF_MINUTE (60 * SF_SECOND)
#define SF_HOUR (60 * SF_MINUTE)
#define SF_DAY (24 * SF_HOUR)

typedef struct sf_runtime sf_runtime; /* one data directory, open */
typedef struct sf_turn sf_turn;       /* one handler call */
typedef struct sf_source sf_source;   /* one partition of an input that can be replayed */
typedef struct sf_view sf_view;       /* everything as of one epoch, read-only */
typedef struct sf_cursor sf_cursor;   /* a walk over a map, a list, or part of a view */

/* -- errors -------------------------------------------------------------------------------------
 * One for each decision that a caller can make. */
enum {
    SF_EINVAL = -1,    /* a rule written here was broken */
    SF_ENOMEM = -2,    /* out of memory, or of file descriptors; try again when there is some */
    SF_EAGAIN = -3,    /* no room just now: step or sf_wait_room(), then the same call again */
    SF_ETIMEOUT = -4,  /* not yet */
    SF_ENOTFOUND = -5, /* nobody is registered under that name, or nothing is there */
    SF_EFAILED = -6,   /* for good: the asked actor failed, or a type stopped the engine; the reason
                        * is in sf_errmsg() */
    SF_EBUSY = -7,     /* another thread drives; or this is inside a callback; or it is open
                        * already; or too many are open */
    SF_ETURN = -8,     /* not inside a handler; that turn will be undone */
    SF_ELOCKED = -9,   /* the directory is open elsewhere */
    SF_EACCESS = -10,  /* no permission, or not safe to use */
    SF_EFOREIGN = -11, /* not a data directory of ours */
    SF_ENEWER = -12,   /* written by a newer version of this library or of your program; no more
                        * turns run */
    SF_ECORRUPT = -13, /* what is on disk broke its own rules; if it is what all need, no more
                        * turns run */
    SF_EDISK = -14,    /* the disk refuses (full, perhaps): it is tried again, and nothing is lost
                        * while the runtime stays open */
    SF_EFORK = -15,    /* used after fork() */
    SF_ECLOSED = -16,  /* the runtime was closed first */
    SF_EUNKNOWN = -17  /* an operation was under way when the process ended: done or not, nobody
                        * knows */
};

/* A sentence about this thread's last failed call, lent until its next failed call; in a callback
 * whose result is negative, about that result.  Never NULL.  [any] */
SF_API const char *sf_errmsg(void);
/* The code's name, such as "SF_EDISK"; "success" for 0 and more, "unknown" for what is no code.
 * Static text.  [any] */
SF_API const char *sf_errname(int code);

/* -- bytes, addresses, messages -------------------------------------------------------------- */

typedef struct sf_bytes {
    const void *data; /* NULL: absent */
    size_t size;      /* 0 with data: there, and empty */
} sf_bytes;

/* An 8-byte key that sorts like its number, as bytes in the order in which maps keep them. */
typedef struct sf_key {
    unsigned char bytes[8];
} sf_key;

#ifdef __cplusplus
#define SF_BYTES(pointer, count) (sf_bytes{(pointer), (count)})
#define SF_KEY (sf_key())
#else
#define SF_BYTES(pointer, count) ((sf_bytes){(pointer), (count)})
#define SF_KEY ((sf_key){{0}})
#endif
/* 0; given a pointer, which an array is not, it does not compile. */
#if defined(__cplusplus)
extern "C++" {
template <class T> struct sf_no_pointer { typedef char is; };
template <class T> struct sf_no_pointer<T *> {};
template <class T> typename sf_no_pointer<T>::is sf_is_no_pointer(const T &);
}
#define SF_NO_POINTER(...) (0 * sizeof(sf_is_no_pointer(__VA_ARGS__)))
#elif defined(__GNUC__) /* a pointer, and what has its type also where an array would become one */
#define SF_IS_POINTER(...) \
    (__builtin_classify_type(__VA_ARGS__) == 5 && \
     __builtin_types_compatible_p(__typeof__(__VA_ARGS__), __typeof__(((void)0, __VA_ARGS__))))
#define SF_NO_POINTER(...) (__extension__(0 * sizeof(char[SF_IS_POINTER(__VA_ARGS__) ? -1 : 1])))
#else
#define SF_NO_POINTER(...) 0
#endif
/* A variable as it lies in memory: the struct, not a pointer to it (which does not compile).  Start
 * it from = {0}: its padding is sent and stored too.  Points to the variable, and copies
 * nothing. */
#define SF_OF(...) SF_BYTES(&(__VA_ARGS__), sizeof(__VA_ARGS__) + SF_NO_POINTER(__VA_ARGS__))
#define SF_NONE SF_BYTES(NULL, 0)

/* The characters of a text, without the zero byte; NULL: SF_NONE.  Points to it.  [any] */
SF_API sf_bytes sf_str(const char *text);
/* What lies there, as a struct of that size; NULL if it has another size, or is absent.  Lent like
 * the bytes.  [any] */
SF_API const void *sf_struct(sf_bytes bytes, size_t size);
/* A number as a key, written into 8 bytes of yours; SF_U64(): the same for one statement; and back:
 * 0 if it is no such key.  [any] */
SF_API sf_bytes sf_u64(uint64_t number, unsigned char buffer[8]);
#define SF_U64(number) sf_u64((number), SF_KEY.bytes)
SF_API uint64_t sf_u64_of(sf_bytes key);

/* Sizes in bytes at most; texts without the zero byte at their end. */
enum {
    SF_TYPE_NAME_MAX = 127,
    SF_ID_MAX = 255,
    SF_KIND_MAX = 255,
    SF_NAME_MAX = 255,        /* of a value, a source, an egress */
    SF_TOKEN_MAX = 255,       /* of what is sent later; a key of what is sent once */
    SF_TIMER_NAME_MAX = 400,  /* kind and key of a timer together */
    SF_ADDRESS_MAX = 400,     /* what sf_addr_save() gives: it can be a key */
    SF_KEY_MAX = 400,         /* of a map's entry */
    SF_STATE_MAX = 1 << 20,   /* an actor's struct */
    SF_PAYLOAD_MAX = 16 << 20 /* what sf_options.payload_max may be raised to */
};

/* Points to its names and owns nothing.  `type` is "namespace/name", up to SF_TYPE_NAME_MAX
 * printable characters without spaces; the constant you registered is found fastest.  `id` is 1 to
 * SF_ID_MAX bytes.  type NULL is the outside: whoever called sf_send() or sf_ask(). */
typedef struct sf_address {
    const char *type;
    sf_bytes id;
} sf_address;

/* An id that is text; for any other write {type, bytes}.  Points to both.  [any] */
SF_API sf_address sf_addr(const char *type, const char *id);

/* A message, an egress record, a reply, an answer or a dead letter.  Always made by the library, so
 * that it may grow at its end; lent like all that it points to. */
typedef struct sf_message {
    sf_address to;
    sf_address from;
    const char *kind; /* what the body is: "add", "acme.Order"; "" if the sender did not say.  One
                       * that begins with a dot is private: only the actor itself, its timers and
                       * its operations can send it, to others it is SF_EINVAL */
    sf_bytes body;
    uint32_t attempt;   /* 1 on the first */
    uint64_t sequence;  /* egress records and dead letters: 1, 2, 3, ...  Dead letters go:
                         * sf_dead_drop() */
    const char *reason; /* dead letters, answers of operations that failed, SF_DEAD: why; else "" */
    int result;         /* of an operation: 0, SF_EFAILED, SF_ETIMEOUT, SF_EUNKNOWN; SF_DEAD:
                         * SF_EFAILED; else 0 */
    sf_bytes request;   /* likewise: what was asked, what was told */
    uint64_t due_ms;    /* of a timer, or sent later: when it was due, by the wall clock; else 0 */
} sf_message;

SF_API int sf_is(const sf_message *msg, const char *kind); /* 1 if msg->kind is `kind` [any] */

/* -- describe a type ------------------------------------------------------------------------- */

/* Handles one message.  0 keeps the turn.  sf_fail() tries it again, sf_reject() gives the message
 * up (it is a dead letter, unless the type says otherwise), any other nonzero value is like
 * sf_fail().  Must not block: all actors share the thread. */
typedef int sf_handler(sf_turn *turn);

/* Fills `fresh`, which is zeroed, from a struct of an older version.  Nonzero: cannot; then nothing
 * is lost: the actor keeps its old struct, and the message waits, not counted as an attempt, and is
 * tried again after 1 s, doubled up to a minute, or when the database is opened by a program that
 * can.  May also run on a thread that reads a view, at the same time as handlers; only then is a
 * snapshot open, the view's. */
typedef int sf_migrate(uint32_t version, sf_bytes old, void *fresh);

typedef struct sf_on {
    const char *kind;
    sf_handler *handler;
} sf_on;

/* Declares a struct and keeps its text, up to SF_FIELDS_MAX characters.  A type that was given it
 * carries a struct of an older version over field by name where it has no sf_migrate: what is new
 * is zero, what is gone is dropped, and a field may become longer (more elements) or wider
 * (uint32_t to uint64_t or int64_t, float to double).  What would lose anything is refused by
 * sf_register(), and so are other fields in the same version.  Fixed-width integers, float, double,
 * char, bool, arrays of them, structs written out within; no other types, since their size or
 * meaning may change.
 *     SF_STRUCT(stock, uint64_t free, reserved; char shelf[8];);
 *     static const sf_type type = SF_TYPE("shop/stock", .handler = handle, SF_STATE(stock)); */
#define SF_STRUCT(tag, ...) \
    struct tag { __VA_ARGS__ }; \
    SF_UNUSED static const char tag##_fields[] = SF_TEXT(__VA_ARGS__)
/* For SF_TYPE(); for SF_MAP(), SF_LIST(). */
#define SF_STATE(tag) .state_size = sizeof(struct tag), .state_fields = tag##_fields
#define SF_HOLDS(tag) .struct_size = sizeof(struct tag), .struct_fields = tag##_fields
#define SF_TEXT(...) SF_TEXT_(__VA_ARGS__)
#define SF_TEXT_(...) #__VA_ARGS__
enum { SF_FIELDS_MAX = 4095 };

/* What an actor has beside its struct: values; maps, in the order of their keys' bytes; lists, in
 * the order of appending.  The name is stored, the object is the handle.  A slot holds structs of
 * one size, or any bytes.  What kind it is may not change; its struct may, like that of a type: a
 * higher version, and struct_migrate, which meets each entry when it is read.
 *     It may expire: a value, an entry of a map or an element of a list that was not written for so
 * long, or neither written nor read (a walk and a view read nothing in that sense), is absent from
 * that millisecond on.  Its space comes back bit by bit, while others are handled or nothing is to
 * be done; sf_run_until_idle() does not wait for that, and for a minute after opening, or after the
 * wall clock was set by more than an hour, nothing goes.  Time that the process was down counts; a
 * clock that is set back makes nothing end sooner.  The times may be changed freely, and hold for
 * what is there already; what was stored before there were any counts from then. */
typedef struct sf_slot {
    size_t size; /* set by SF_VALUE(), SF_MAP(), SF_LIST() */
    const char *name;
    size_t struct_size;        /* 0: any bytes, up to payload_max */
    const char *struct_fields; /* see SF_STRUCT(); NULL: unknown */
    uint32_t struct_version;
    sf_migrate *struct_migrate;
    uint64_t expire_after_write_ms, expire_after_access_ms; /* one of them; both 0: never */
} sf_slot;
typedef struct sf_value {
    sf_slot slot;
} sf_value;
typedef struct sf_map { /* keys of 0 to SF_KEY_MAX bytes */
    sf_slot slot;
} sf_map;
typedef struct sf_list { /* three types, so that none is taken for another */
    sf_slot slot;
} sf_list;

/* A kind for `on`: what this actor told became a dead letter.  `from` is for whom it was, `body`
 * the kind of it, `request` its body, `reason` why.  Sent to actors whose type lists it, together
 * with the burial; one that fails itself does not come back. */
#define SF_DEAD ".dead"

/* What becomes of a message that was rejected, or failed sf_type.attempts_max times: it is set
 * aside with its reason, and the actor goes on; or it stays, and the actor waits for sf_resume();
 * or no more turns run, of anybody: what was kept is committed, who asked hears SF_EFAILED, and so
 * says sf_step() until the directory is opened anew.  What stays has all its attempts again. */
enum { SF_DEAD_LETTER, SF_PAUSE_ACTOR, SF_STOP_ENGINE };

enum { SF_KINDS_MAX = 32, SF_VALUES_MAX = 16, SF_MAPS_MAX = 16, SF_LISTS_MAX = 16 };
enum { SF_NAMED_MAX = 256 }; /* of a type, ever; see sf_value_named() */
enum { SF_TYPES_MAX = 65536, SF_PARTITIONS_MAX = 1 << 20 }; /* in one database, ever */

typedef struct sf_type {
    size_t size;      /* set by SF_TYPE() */
    const char *name; /* "namespace/name" */
    sf_on on[SF_KINDS_MAX];
    sf_handler *handler;    /* kinds not listed in `on`; NULL: they become dead letters */
    size_t state_size;      /* of the actor's struct, up to SF_STATE_MAX; 0: none */
    const char *state_fields; /* see SF_STRUCT(); NULL: unknown */
    uint32_t state_version; /* raise it whenever the struct changes; the database holds the new
                             * version, and an older program is refused, from the first struct
                             * that is stored in it */
    sf_migrate *state_migrate;
    /* As in sf_slot: then it is zeroes again.  It was written when it is not as it was before; to
     * ask for it is to read it. */
    uint64_t state_expire_after_write_ms, state_expire_after_access_ms;
    const sf_value *values[SF_VALUES_MAX];
    const sf_map *maps[SF_MAPS_MAX];
    const sf_list *lists[SF_LISTS_MAX];
    uint32_t attempts_max;   /* turns a message may fail before it is given up; 0: 3 */
    uint32_t backoff_ms;     /* pause before the second attempt, doubled for each further, give or
                              * take an eighth; 0: none.  That actor's later messages wait
                              * meanwhile, others' do not */
    uint32_t backoff_ms_max; /* the longest pause, give or take an eighth; 0: 60 s */
    int after_last_attempt;  /* SF_DEAD_LETTER unless set */
    uint32_t waiting_max;    /* messages from outside that wait for one actor, counted from open,
                              * before the next meets SF_EAGAIN; a source's advance comes in whole.
                              * 0: no bound but the inbox's and, while the actor is held,
                              * sf_send()'s.  Actors are never refused */
} sf_type;

/* C:     static const sf_type cart =
 *            SF_TYPE("shop/cart", .handler = cart_handle, .state_size = sizeof(struct cart));
 * C++:   sf_type cart = SF_TYPE("shop/cart"); then assign the other fields.  Designated
 *        initializers of C++20 would meet warnings about the fields that are left out. */
#ifdef __cplusplus
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wmissing-braces"
#endif
extern "C++" {
template <class T> constexpr T sf_named(const char *name) { return T{sizeof(T), name}; }
template <class T> constexpr T sf_sized() { return T{sizeof(T)}; }
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#define SF_TYPE(name) sf_named<sf_type>(name)
#define SF_VALUE(name) sf_named<sf_value>(name)
#define SF_MAP(name) sf_named<sf_map>(name)
#define SF_LIST(name) sf_named<sf_list>(name)
#define SF_OPTIONS() sf_sized<sf_options>()
#else
#define SF_TYPE(...) {.size = sizeof(sf_type), .name = __VA_ARGS__}
#define SF_VALUE(...) {{.size = sizeof(sf_slot), .name = __VA_ARGS__}}
#define SF_MAP(...) SF_VALUE(__VA_ARGS__)
#define SF_LIST(...) SF_VALUE(__VA_ARGS__)
#define SF_OPTIONS(...) {.size = sizeof(sf_options), __VA_ARGS__}
#endif

/* -- in a turn ----------------------------------------------------------------------------------
 * Called in the handler, with the turn that it was given.  What they return is lent until it
 * returns.  After a failure in the turn, and outside of one, nothing happens: SF_ETURN, NULL or
 * absent. */

/* The actor's struct: zeroes at first; write to it, that is all.  NULL if the type has none.  When
 * it cannot be read, because the disk refuses, zeroes too: the turn is undone then, and the message
 * tried again. */
SF_API void *sf_state(sf_turn *turn);
SF_API const sf_message *sf_msg(sf_turn *turn); /* what is handled; never NULL in a handler */
/* The body as a struct of that size.  Never NULL: if the size is wrong, zeroes, and the turn is
 * rejected.  (Above 64 KiB NULL when there is no memory for the zeroes.) */
SF_API const void *sf_body(sf_turn *turn, size_t size);
SF_API sf_address sf_self(sf_turn *turn);
SF_API void *sf_userdata(sf_turn *turn);  /* what sf_register() was given */
SF_API uint64_t sf_now_ms(sf_turn *turn); /* wall clock since 1970, one reading a turn */
SF_API uint64_t sf_random(sf_turn *turn); /* nobody can guess it; another one in the next attempt */

/* Sends when the turn is kept.  To any registered type, oneself included: what turns of one actor
 * tell another arrives in that order.  SF_ENOTFOUND: no such type. */
SF_API int sf_tell(sf_turn *turn, sf_address to, const char *kind, sf_bytes body);
/* sf_tell() to the sender, or the answer to sf_ask() and sf_call(); dropped when nobody waits for
 * one. */
SF_API int sf_reply(sf_turn *turn, const char *kind, sf_bytes body);
/* Appends a record to an egress.  SF_ENOTFOUND: no such egress.  SF_EAGAIN: more of its records
 * wait for acknowledgement than sf_options lets; the turn is undone and its actor waits until there
 * is room again, no attempt counts. */
SF_API int sf_emit(sf_turn *turn, const char *egress, const char *kind, sf_bytes body);

/* A turn of another actor now, inside this one, before the messages that wait for it.  Returns its
 * first reply; kind "" and no body if it gave none; never NULL; lent until this turn ends.  Both
 * turns are kept or undone together: when the inner one fails this one has failed, with the same
 * reason, and its message is tried again as its own type says.  To call who is in the middle of a
 * turn (oneself, a caller), or deeper than 16, is a fault of the program: rejected.  Who is paused
 * cannot be called either: this turn is undone, and tried again later without counting an attempt.
 * A struct that was lent stays where it is, and nobody else changes it.  While the inner turn runs
 * only its own sf_turn may be used.  The structs and values of those called count against what one
 * turn may send and store (sf_options.store_bytes_max): beyond, it is rejected. */
SF_API const sf_message *sf_call(sf_turn *turn, sf_address to, const char *kind, sf_bytes body);

/* Undo this turn, with a reason in the manner of printf(); the type says how often it is tried
 * again.  Returns what the handler is to return. */
SF_API int sf_fail(sf_turn *turn, const char *format, ...) SF_PRINTF(2, 3);
/* Undo this turn; the message is given up at once: a dead letter, unless the type says otherwise.
 * For what somebody is to look at: a client's bad request deserves a reply that says so, else
 * clients decide what is kept (sf_options.dead_max). */
SF_API int sf_reject(sf_turn *turn, const char *format, ...) SF_PRINTF(2, 3);

/* Forgets this actor: its struct is zeroed, where sf_state() said it is, all its values are absent,
 * its timers end, and what it had under way before this turn is never answered.  When the turn is
 * kept it takes no space any more, unless the handler writes to it again; then it is a new one. */
SF_API int sf_clear(sf_turn *turn);

/* An address as up to SF_ADDRESS_MAX bytes that can be stored in state or sent in a body, and back.
 * Also for who asked from outside: answer in a later turn.  Bytes that are no saved address: the
 * turn is rejected. */
SF_API sf_bytes sf_addr_save(sf_turn *turn, sf_address address);
SF_API sf_address sf_addr_load(sf_turn *turn, sf_bytes saved);

/* -- in a turn: later ------------------------------------------------------------------------ */

/* The actor's own timers.  When it is time the actor gets a message of that kind from itself, with
 * the key as its body; what became due while the process was down comes at once.  Kind and key name
 * the timer, and have at most SF_TIMER_NAME_MAX bytes together: set again it is replaced, and one
 * that was cancelled or replaced is never handled, even if it was due already.  By the wall clock,
 * in order of time, never early.  sf_clear() and sf_purge() end them.  In a turn that was called
 * they are those of the actor that is called.  The turn is rejected for a kind or a key that cannot
 * be, and for a time that cannot come. */
SF_API int sf_timer_after(sf_turn *turn, const char *kind, sf_bytes key, uint64_t delay_ms);
/* Again and again until it is cancelled: every period, first after one; or by the clock in UTC,
 * "minute hour day month weekday" as in crontab(5), without names.  The next one is set when this
 * one was handled, or became a dead letter: missed ones count as one, and none piles up.  Set again
 * with the same time it goes on as it is, so any turn may set it. */
SF_API int sf_timer_every(sf_turn *turn, const char *kind, sf_bytes key, uint64_t period_ms);
SF_API int sf_timer_cron(sf_turn *turn, const char *kind, sf_bytes key, const char *utc);
/* Not there: no effect. */
SF_API int sf_timer_cancel(sf_turn *turn, const char *kind, sf_bytes key);

/* sf_tell(), later: to any registered type, but not to the outside.  A token of 1 to SF_TOKEN_MAX
 * bytes makes it cancellable, by this actor, until it is sent; one that is pending is replaced, and
 * all that are go with sf_clear() and sf_purge() of this actor.  SF_NONE: not cancellable, and sent
 * whatever becomes of this actor. */
SF_API int sf_tell_after(sf_turn *turn, sf_bytes token, uint64_t delay_ms, sf_address to,
                         const char *kind, sf_bytes body);
/* 1: it will not be sent.  0: no such token is pending; its message may have been sent, and come
 * yet. */
SF_API int sf_tell_cancel(sf_turn *turn, sf_bytes token);

/* -- in a turn: slow things ------------------------------------------------------------------ */

/* An operation that takes long.  The function is called once, when this turn is on disk and no
 * power cut can take it, with the userdata of this type: by start on the thread that drives, as
 * a callback, where it must not block; by work on one of workers_max threads of ours, which take
 * no signals.  Whoever knows the outcome says so once, from any thread, also in the function
 * itself; it comes to this actor as a message of that kind, with `result`, `reason` and
 * `request`, after what waits by then.  It comes from whom this turn's message came, so that
 * sf_reply() answers who asked.  What was under way when the process ended comes with SF_EUNKNOWN
 * after the next open.  What an actor had under way when it was purged or cleared never
 * comes.  SF_EAGAIN: operations_max are under way; this turn is undone, and tried again later
 * without counting an attempt.  A function of work that is left by pthread_exit() or cancellation
 * ends that thread, and another takes its place; one that never returns keeps sf_runtime_close()
 * waiting. */
typedef struct sf_async {
    sf_runtime *rt;
    uint64_t id; /* 0: the turn failed */
} sf_async;
typedef void sf_async_fn(sf_async op, sf_bytes request, void *userdata);
SF_API int sf_async_start(sf_turn *turn, sf_async_fn *start, const char *kind, sf_bytes request);
SF_API int sf_async_work(sf_turn *turn, sf_async_fn *work, const char *kind, sf_bytes request);
/* The same without a function, a promise: whoever is given its saved bytes may answer it, also
 * after a restart, so it never comes with SF_EUNKNOWN. */
SF_API sf_async sf_async_open(sf_turn *turn, const char *kind, sf_bytes request);
/* Its name as up to SF_ASYNC_MAX bytes, to be sent, stored or told to others.  They prove nothing:
 * who can make them up can answer.  Lent until the turn ends. */
enum { SF_ASYNC_MAX = 32 };
SF_API sf_bytes sf_async_save(sf_turn *turn, sf_async op);
/* And back.  SF_EINVAL: no such bytes, or saved from another database.  [any] */
SF_API SF_MUST int sf_async_load(sf_runtime *rt, sf_bytes saved, sf_async *out);
/* The operation started last in this turn is answered with SF_ETIMEOUT when nobody has done so by
 * then; of a promise time that the process is down counts. */
SF_API int sf_async_limit(sf_turn *turn, uint64_t time_ms);
/* How it ended: with that answer, up to payload_max; or SF_EFAILED, with a reason of which 255
 * bytes are kept.  It counts when it is on disk, see sf_wait(); before that a crash makes it
 * SF_EUNKNOWN.  SF_ENOTFOUND: it is over already, or never was.  After SF_EINVAL and SF_ENOMEM it
 * is under way still.  Not in a handler: SF_ETURN.  Not once sf_runtime_close() was called, but by
 * a function that it waits for.  [any] */
SF_API int sf_async_done(sf_async op, sf_bytes answer);
SF_API int sf_async_fail(sf_async op, const char *reason);
/* Other messages to this actor wait until all operations started in this turn are answered, and
 * come after those answers.  A turn without such an operation is rejected.  This turn's message,
 * and what it took, are used up when the last answer's turn is kept; when that answer becomes a
 * dead letter each of them fails as itself: again, if its type has attempts left for it.  An
 * actor that is called, and not sent to, awaits without standing for a message.  Who calls an
 * actor that awaits is undone, and tried again later without counting an attempt. */
SF_API int sf_await(sf_turn *turn);
/* In the turn of an awaited answer: the next message that waits for this actor because it
 * awaited, made part of this turn and lent like sf_msg().  NULL: no more, or enough for one turn
 * (1024, or a quarter of the bytes it may have), or the next one, or this answer, has failed
 * before and is tried alone, or the next one is a timer's, or the process died in a turn before
 * (crashes_max). */
SF_API const sf_message *sf_take(sf_turn *turn);

/* -- in a turn: values, maps, lists -------------------------------------------------------------
 * Absent is not an error: data is NULL.  When one cannot be read: as sf_state(). */

SF_API sf_bytes sf_value_get(sf_turn *turn, const sf_value *value);
SF_API int sf_value_put(sf_turn *turn, const sf_value *value, sf_bytes bytes);
SF_API int sf_value_del(sf_turn *turn, const sf_value *value);
/* A value that the type does not list, for a program that learns its values' names as it runs: the
 * handle is good until close, in turns of this type and in views.  The first use of a name makes
 * it, for all actors of the type and for ever, also if this turn is undone; at most SF_NAMED_MAX.
 * The tag says what it holds ("" or NULL: anything) and may not change.  The times are as in
 * sf_slot, those of the newest call.  NULL: the turn failed. */
SF_API const sf_value *sf_value_named(sf_turn *turn, const char *name, const char *tag,
                                      uint64_t expire_after_write_ms,
                                      uint64_t expire_after_access_ms);

/* Maps and lists.  A key of more than SF_KEY_MAX bytes, bytes of another size than the struct that
 * the slot holds, or a slot that the type does not list: the turn is rejected.  One turn changes up
 * to 65536 entries of large maps and lists, and begins as many walks.  `entry` makes a zeroed
 * struct if there is none and is never NULL, `find` makes none and is NULL then; what you write to
 * either is saved by itself, when the turn is kept, and seen before by sf_map_get() and walks; it
 * is yours until the turn ends, but what is written to it once its entry was deleted is lost. */
SF_API void *sf_map_entry(sf_turn *turn, const sf_map *map, sf_bytes key);
SF_API void *sf_map_find(sf_turn *turn, const sf_map *map, sf_bytes key);
/* Lent until the turn ends; absent: not there. */
SF_API sf_bytes sf_map_get(sf_turn *turn, const sf_map *map, sf_bytes key);
SF_API int sf_map_put(sf_turn *turn, const sf_map *map, sf_bytes key, sf_bytes bytes);
SF_API int sf_map_del(sf_turn *turn, const sf_map *map, sf_bytes key); /* not there: no effect */
SF_API int sf_map_clear(sf_turn *turn, const sf_map *map);             /* of any size, at once */
/* Of a map of many whose entries expire: including those that have and were not deleted yet. */
SF_API uint64_t sf_map_count(sf_turn *turn, const sf_map *map);

SF_API int sf_list_append(sf_turn *turn, const sf_list *list, sf_bytes bytes);
/* The oldest go, so that so many are left at most. */
SF_API int sf_list_trim(sf_turn *turn, const sf_list *list, uint64_t keep_newest);
SF_API int sf_list_clear(sf_turn *turn, const sf_list *list); /* clear, then append: another list */
SF_API uint64_t sf_list_count(sf_turn *turn, const sf_list *list);

typedef struct sf_range { /* data NULL: no bound */
    sf_bytes prefix, from, after, before; /* `from` is handed out, `after` and `before` are not */
    int backwards;
} sf_range;

typedef struct sf_entry {
    sf_bytes key;   /* of a map; of a list sf_u64() of a number that only rises; or an actor's id */
    sf_bytes value; /* the struct in today's version, or the bytes */
} sf_entry;

/* Each step finds what follows the last one as things are then, so entries may be put and deleted
 * on the way; a clear ends the walk.  Range NULL: all.  Never NULL.  A cursor is over with its
 * turn: used later it is an error. */
SF_API sf_cursor *sf_map_scan(sf_turn *turn, const sf_map *map, const sf_range *range);
SF_API sf_cursor *sf_list_scan(sf_turn *turn, const sf_list *list, int backwards);
SF_API const sf_entry *sf_next(sf_cursor *cursor); /* lent until the next call; NULL: the end */
SF_API int sf_cursor_error(const sf_cursor *cursor); /* 0: the walk is whole so far */

/* -- in a turn: a procedure of many turns -------------------------------------------------------
 * A handler that goes on where it stopped: `at`, a uint32_t in the struct, says where; the numbers
 * of SF_UNTIL are stored, so a new step gets a new number.  Locals do not survive, the struct does.
 * Each SF_UNTIL ends a turn, and keeps it; the next message for which `when` is true goes on after
 * it, another is rejected.  `break` leads to SF_END; what follows there is also what every later
 * message gets.  A step that the program does not have any more fails.
 *     SF_BEGIN(self->at);
 *     sf_tell(turn, bank, "charge", SF_OF(self->cents));
 *     SF_UNTIL(turn, self->at, 1, sf_is(msg, "charged"));
 *     sf_timer_after(turn, ".ship", SF_NONE, 3 * SF_DAY);
 *     SF_UNTIL(turn, self->at, 2, sf_is(msg, ".ship"));
 *     SF_END(turn, self->at); */
#define SF_BEGIN(at) switch (at) { case 0:
#define SF_UNTIL(turn, at, number, when) \
    (at) = (number); return 0; case (number): \
    if (!(when)) \
        return sf_reject((turn), "'%s' is not what step %d waits for", sf_msg(turn)->kind, (number))
#define SF_END(turn, at) \
    break; case UINT32_MAX: break; \
    default: return sf_fail((turn), "there is no step %u any more", (unsigned)(at)); } \
    (at) = UINT32_MAX

/* -- open, register, close ----------------------------------------------------------------------
 * From here on: for the program around the handlers. */

typedef struct sf_options {
    size_t size;              /* set by SF_OPTIONS() */
    int must_exist;           /* nonzero: refuse to create a new database */
    int relaxed;              /* nonzero: durable means that it survives kill -9, no longer power
                               * loss, for half the waiting.  Power loss may take the newest epochs,
                               * never break the database.  Egress records and source positions
                               * still wait until power loss cannot take them; so does a clean
                               * close. */
    int commit_inline;        /* nonzero: commits run on the thread that drives, and no thread is
                               * started; 0: on a thread of their own, while further turns run; it
                               * takes no signals */
    uint32_t payload_max;     /* of a message body or value; 0: 1 MiB; at most SF_PAYLOAD_MAX */
    uint32_t epoch_turns_max; /* turns in one commit; 0: 65536 */
    uint32_t operations_max;  /* under way at a time, with some 150 bytes of memory each; actors
                               * that start more wait; 0: 1 Mi */
    uint32_t workers_max;     /* threads for sf_async_work(), started when needed; 0: 4 */
    uint64_t memory_max;        /* about what all of it takes, at least 1 MiB; 0: 512 MiB.  The next
                                 * four that are 0 take a half of it, an 8th, a 32nd and a 4th; what
                                 * they say is for 512 MiB */
    uint64_t cache_bytes_max;   /* actors in memory; more are read when needed; 0: 256 MiB */
    uint64_t mailbox_bytes_max; /* waiting messages in memory; more wait on disk, also those of an
                                 * actor that backs off, or of a type not registered yet;
                                 * 0: 64 MiB */
    uint64_t inbox_bytes_max;   /* sent from outside and not handled yet, but not what waits for an
                                 * actor that backs off; one message always fits; 0: 16 MiB */
    uint32_t log_records_max;   /* changed states that wait in the changelog for their place in the
                                 * tables, with 20 to 40 bytes of memory each, and are read at open;
                                 * 0: 4 Mi */
    uint32_t inbox_ms_max;      /* inbox_bytes_max in time, at the pace at which messages were
                                 * handled lately, since an answer waits for all that was sent
                                 * before it.  Less: sooner answers under overload, and senders meet
                                 * SF_EAGAIN more often; 0: 100 */
    uint64_t log_bytes_max;     /* log_records_max in bytes; 0: 256 MiB; more than a 16th of
                                 * store_bytes_max is taken as that */
    uint64_t store_bytes_max;   /* how large the database file may grow; so much address space is
                                 * reserved; at least 1 MiB; 0: 32 GiB.  When it is nearly that
                                 * large sends are SF_EDISK, later turns wait as well.  They go on
                                 * when acknowledged egress records and dropped dead letters have
                                 * made room, or after opening with more.  One turn may send and
                                 * store a 16th of it, 64 MiB at most */
    uint64_t egress_records_max; /* of one egress, emitted and not acknowledged: actors that emit
                                  * more wait; 0: 4 Mi */
    uint64_t egress_bytes_max;   /* the same in bytes of bodies and 64 for each record; 0: an 8th of
                                  * store_bytes_max */
    uint64_t dead_max;       /* dead letters that are kept: beyond, the oldest go; 0: 65536 */
    uint64_t dead_bytes_max; /* the same in bytes, the newest one apart; 0: a 16th of
                              * store_bytes_max, or 64 MiB if that is less */
    uint32_t crashes_max;  /* a message in whose turn the process died so many times in a row is a
                            * dead letter; 0: 3.  After a death in a turn messages run when they are
                            * on disk, for as many turns as two commits have, so that the next death
                            * tells which message it was */
    uint64_t keys_keep_ms; /* how long sf_send_once() remembers a key; 0: a day.  Other times hold
                            * for the keys that are there already.  A key takes some 250 bytes of
                            * the database, and no memory */
} sf_options;

/* Opens the data directory `dir`, made if missing (its parent is not) and filled if empty.  NULL
 * options: every default.  Takes ten file descriptors at most; with too few it is SF_ENOMEM, "out
 * of file descriptors".  What the kernel denies (epoll, eventfd, timerfd, locks, random numbers) is
 * SF_EACCESS and named.
 * Errors: SF_EINVAL, SF_ENOTFOUND (must_exist, or no parent), SF_ELOCKED, SF_EACCESS, SF_EFOREIGN,
 * SF_ENEWER, SF_ECORRUPT, SF_EDISK, SF_ENOMEM. */
SF_API SF_MUST int sf_runtime_open(const char *dir, const sf_options *options, sf_runtime **out);

/* Commits what was accepted, makes the callbacks that are still owed (SF_ECLOSED if the answer
 * never came), frees everything.  Messages not handled yet are handled after the next open.
 * Negative: what could not be made durable, and why; it is closed all the same, except for
 * SF_ETURN, SF_EFORK and SF_EBUSY (inside a callback, or a source or view is still open).  No other
 * thread may be using the runtime.  NULL is fine. */
SF_API int sf_runtime_close(sf_runtime *rt);

/* Binds a type to its handlers.  Again: replaces them from the next turn on.  Messages that waited
 * for the type come in now.  `userdata` is yours, see sf_userdata().  A changed struct needs a
 * higher state_version, and a restart: SF_EINVAL says so.  SF_EINVAL also: SF_TYPES_MAX other types
 * have a place in the database.  SF_ENEWER: the database holds a later version. */
SF_API SF_MUST int sf_register(sf_runtime *rt, const sf_type *type, void *userdata);

/* -- from outside: send, wait, ask ----------------------------------------------------------- */

/* Accepts a message and returns its ticket (> 0); tickets rise, and begin at 1 with each open, so
 * they mean nothing to another process.  It is durable once sf_durable() has reached the ticket.
 * Messages of one thread to one actor arrive in order.
 * Errors: SF_EINVAL, SF_ENOTFOUND (type), SF_EAGAIN (inbox full, or waiting_max; or the actor or
 * its type is held (it is paused, backs off, waits for an egress, or what waited is still to come)
 * and what waits on disk for those who are held takes more than a quarter of store_bytes_max),
 * SF_EDISK (database full), SF_ETURN (inside a handler: use sf_tell()), SF_ECORRUPT, SF_ENOMEM.
 * [any] */
SF_API SF_MUST int64_t sf_send(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body);

/* sf_send(), unless a message with that key, 1 to SF_TOKEN_MAX bytes, came in within
 * sf_options.keys_keep_ms: then this one is dropped.  Durable means that the one with the key is.
 * Keys of all targets are one space.  Errors: as sf_send(), and then the key was not used.
 * [any] */
SF_API SF_MUST int64_t sf_send_once(sf_runtime *rt, sf_bytes key, sf_address to, const char *kind,
                                    sf_bytes body);

/* sf_send(), later: see sf_tell_after().  Counted from this call on; the ticket says that it is
 * pending.  Tokens from outside are one space.  Errors: as sf_send().  [any] */
SF_API SF_MUST int64_t sf_send_after(sf_runtime *rt, sf_bytes token, uint64_t delay_ms,
                                     sf_address to, const char *kind, sf_bytes body);
/* Not pending: no effect.  Also when the database is full.  [any] */
SF_API SF_MUST int64_t sf_send_cancel(sf_runtime *rt, sf_bytes token);

/* Every ticket up to this one is on disk; 0: none yet.  Also in a handler.  [any] */
SF_API int64_t sf_durable(const sf_runtime *rt);

/* Waits until a ticket is durable; ticket 0: all that was sent so far.  timeout_ms < 0: for ever.
 * Errors: SF_ETIMEOUT, SF_EDISK (not yet, and why), SF_EBUSY (in a callback), SF_EINVAL (no such
 * ticket); a negative ticket is a send's error and comes back.  [any] [drives] */
SF_API int sf_wait(sf_runtime *rt, int64_t ticket, int timeout_ms);

/* Waits until there is room again, after SF_EAGAIN on this thread: in the inbox, or for the actor
 * that it named.  [any] [drives] */
SF_API int sf_wait_room(sf_runtime *rt, int timeout_ms);

/* Called once, on the thread that drives: result 0 when the ticket is durable, SF_ECLOSED if the
 * runtime was closed before. */
typedef void sf_done(int result, int64_t ticket, void *userdata);
/* SF_EINVAL: no such ticket, or no callback; a negative ticket is a send's error and comes back.
 * [any] */
SF_API int sf_then(sf_runtime *rt, int64_t ticket, sf_done *done, void *userdata);

/* Sends and waits for the first reply, which comes after the replying turn is on disk.  Free `*out`
 * with sf_message_free().  Errors: as sf_send() and sf_wait(), and SF_EFAILED: the message became a
 * dead letter.  timeout_ms < 0: for ever, also if no reply ever comes.  [any] [drives] */
SF_API SF_MUST int sf_ask(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body,
                          int timeout_ms, sf_message **out);
SF_API void sf_message_free(sf_message *msg); /* NULL is fine [any] */

/* The same with a callback, which comes exactly once unless sf_then_cancel() was called.  `reply`
 * is NULL when result is negative: SF_EFAILED, SF_ETIMEOUT, SF_ECLOSED.  [any] */
typedef void sf_answer(int result, const sf_message *reply, void *userdata);
SF_API SF_MUST int sf_ask_then(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body,
                               int timeout_ms, sf_answer *answer, void *userdata);

/* No sf_then() and sf_ask_then() callback will see this `userdata`, not NULL, any more; when
 * another thread is inside sf_step(), or ours drives, one that is under way there may still be.
 * [any] */
SF_API int sf_then_cancel(sf_runtime *rt, void *userdata);

/* -- from outside: an input that can be replayed ------------------------------------------------
 * For each record: send any number of messages, then advance to the position after it.  Messages
 * and position are taken in together and commit together, so after a crash reading goes on at
 * sf_source_position() and every record counts once.  One thread at a time uses a source. */

/* `name`: 1 to SF_NAME_MAX bytes of text.  SF_EBUSY: that partition is open already.  SF_EINVAL: a
 * rule, or SF_PARTITIONS_MAX others, of all names together, have a place in the database.  [any] */
SF_API SF_MUST int sf_source_open(sf_runtime *rt, const char *name, uint32_t partition,
                                  sf_source **out);
/* Before the runtime.  What was sent and not advanced is dropped.  NULL is fine. */
SF_API void sf_source_close(sf_source *source);

/* Where to go on reading: the newest durable position, 0 at first. */
SF_API uint64_t sf_source_position(const sf_source *source);

enum { SF_ADVANCE_MESSAGES_MAX = 65536, SF_ADVANCE_BYTES_MAX = 16 << 20 };

/* As sf_send(), but nothing is taken in before the advance, and that takes in one message, or up to
 * SF_ADVANCE_MESSAGES_MAX of together SF_ADVANCE_BYTES_MAX (bodies, ids, kinds, and 64 bytes for
 * each): SF_EINVAL beyond.  A failure sticks until the advance, which then takes in nothing and
 * returns it. */
SF_API int sf_source_send(sf_source *source, sf_address to, const char *kind, sf_bytes body);

/* 0: taken in.  1: skipped, because what had been taken in when the source was opened reaches that
 * far.  SF_EAGAIN, SF_EDISK: no room; all is kept, call again later.  SF_EINVAL: the position does
 * not rise.  Every other failure drops what was sent: after SF_ENOMEM send it again. */
SF_API SF_MUST int sf_source_advance(sf_source *source, uint64_t position);

/* -- out: egress ----------------------------------------------------------------------------- */

enum { SF_LATER = -100, SF_EGRESSES_MAX = 65536 };

/* Called with records in sequence order once they are durable; after a crash the same ones come
 * again, same bytes, until acknowledged.  Returns how many of them, from the first, are done, and
 * with them all that came before; those that are not, none perhaps, come again after a pause.
 * SF_LATER: all will be acknowledged by sf_egress_ack().  Anything else: none is done. */
typedef int sf_egress(const sf_message *const *records, size_t count, void *userdata);
/* `name`: 1 to SF_NAME_MAX bytes of text.  SF_EINVAL: there are SF_EGRESSES_MAX, those of former
 * runs too. */
SF_API SF_MUST int sf_egress_register(sf_runtime *rt, const char *name, sf_egress *egress,
                                      void *userdata);

/* Acknowledges every record up to `sequence`.  At start: what the sink already holds, so that
 * nothing comes twice.  A damaged record stops its egress until it is acknowledged.  SF_EINVAL:
 * there is no such record yet; SF_ENOTFOUND: no such egress.  [any] */
SF_API int sf_egress_ack(sf_runtime *rt, const char *name, uint64_t sequence);

/* -- drive ----------------------------------------------------------------------------------- */

/* Readable while there is something to do, due pauses and finished commits included.  Poll it,
 * never read it. */
SF_API int sf_fd(const sf_runtime *rt);
/* For loops without file descriptors: step after this long at the latest; -1: nothing is due, or
 * there is no runtime.  1 while a commit is under way. */
SF_API int sf_timeout_ms(const sf_runtime *rt);
/* Takes in what was sent, runs up to `turns_max` turns (0: as many as fit in an epoch), hands them
 * to the commit thread, makes the callbacks of what is on disk by now.  Waits for the disk only
 * with commit_inline, or when a full epoch finds the one before it still under way.  Returns the
 * turns it ran.  SF_EDISK: the disk refused a commit, or turns wait because the database has nearly
 * reached its ceiling; step again later, and after SF_ENOMEM.  SF_ECORRUPT, SF_ENEWER: no more
 * turns run.  SF_EBUSY: inside a callback, or another thread is driving.  SF_ETURN: inside a
 * handler. */
SF_API int sf_step(sf_runtime *rt, int turns_max);
/* Steps until nothing is left that could be done now, also of what others send meanwhile, and all
 * of it is on disk.  0, or as sf_step().  In relaxed mode the newest egress records and source
 * positions become safe, and visible, a little later.  Messages that beget messages may never end:
 * sf_run_for() is the same for so long at most, then SF_ETIMEOUT. */
SF_API int sf_run_until_idle(sf_runtime *rt);
SF_API int sf_run_for(sf_runtime *rt, int timeout_ms);
/* Drives on a thread of ours until sf_runtime_stop() or close; SF_EBUSY: already.  Stop returns
 * once the step in progress has ended. */
SF_API int sf_runtime_start(sf_runtime *rt);
SF_API int sf_runtime_stop(sf_runtime *rt);

/* -- operate ------------------------------------------------------------------------------------
 * Each takes effect in order with what was sent, and returns a ticket like sf_send().  [any] */

/* From when it is taken in, before messages that wait already, no turn of that actor runs; without
 * an id, of any actor of that type.  It outlives the process.  Messages are accepted and wait, on
 * disk when they are many.  `reason`: text up to 255 bytes, or NULL; paused again: the new one.
 * SF_ENOTFOUND: no such type. */
SF_API SF_MUST int64_t sf_pause(sf_runtime *rt, sf_address address, const char *reason);
/* What waits comes in, in order, and before it what had paused the actor (SF_PAUSE_ACTOR).  Also
 * when the database is full.  Not paused: no effect. */
SF_API SF_MUST int64_t sf_resume(sf_runtime *rt, sf_address address);
/* Forgets an actor: its struct, values and timers, what waits for it, and that it was paused.  None
 * of what was sent before ever runs; who asked hears SF_EFAILED.  What is sent later finds zeroes.
 * Also when the database is full.  SF_ENOTFOUND: the type is not registered. */
SF_API SF_MUST int64_t sf_purge(sf_runtime *rt, sf_address address);

/* A dead letter goes to the end of its actor's mailbox, as a first attempt, and nobody waits for
 * its reply; or away, also when the database is full.  Twice is once.  SF_ENOTFOUND: there is none
 * with that number on disk, or nobody has registered its type.  SF_EINVAL: its kind is
 * private, and the actor had not sent it itself. */
SF_API SF_MUST int64_t sf_dead_resend(sf_runtime *rt, uint64_t sequence);
SF_API SF_MUST int64_t sf_dead_drop(sf_runtime *rt, uint64_t sequence);

/* -- observe --------------------------------------------------------------------------------- */

typedef struct sf_stats {
    size_t size;               /* set it to sizeof(sf_stats) */
    uint64_t epochs;           /* committed since open */
    uint64_t turns;            /* kept since open */
    uint64_t turns_failed;     /* undone since open */
    uint64_t dead_letters;     /* made since open */
    uint64_t messages_waiting; /* accepted and not handled, those of unregistered types included */
    uint64_t actors;           /* in memory */
    uint64_t turns_held;       /* undone since open, and the actor waits: state_migrate cannot read
                                * its struct */
    uint64_t egress_lag;       /* records emitted and not acknowledged, of all egresses */
    uint64_t egress_stalled_ms; /* the longest that an egress with such records has gone without an
                                 * acknowledgement */
    uint64_t egresses_damaged; /* whose next record cannot be read: they wait for sf_egress_ack() of
                                * it */
    uint64_t dead_kept;        /* dead letters that are there */
    uint64_t dead_evicted;     /* gone since open, because there were more than sf_options lets */
    uint64_t held;             /* actors that wait, paused or backing off, and types: paused or not
                                * registered */
    uint64_t operations;       /* under way, promises included */
    uint64_t fenced;           /* turns undone since open because their actor's row is damaged: its
                                * messages wait for an hour, or until the next open; others go on */
    uint64_t damaged;          /* messages met on disk that cannot be read: they stay there, and
                                * wait */
} sf_stats;
/* As of the last step.  Also in a handler.  [any] */
SF_API int sf_stats_get(sf_runtime *rt, sf_stats *stats);

/* -- look in --------------------------------------------------------------------------------- */

enum { SF_VIEWS_MAX = 100 };

/* Everything as of the newest durable epoch.  Close it soon: while it is open the file cannot reuse
 * space.  One thread at a time uses a view.  SF_EBUSY: SF_VIEWS_MAX are open, close one.  SF_EDISK:
 * not while the disk refuses.  [any] */
SF_API SF_MUST int sf_view_open(sf_runtime *rt, sf_view **out);
SF_API void sf_view_close(sf_view *view); /* with its cursors; NULL is fine */

/* The actors of a type that have a struct on disk: shorter ids first, then in the order of bytes.
 * Never NULL; a failure shows in sf_cursor_error(). */
SF_API sf_cursor *sf_view_actors(sf_view *view, const char *type);
/* Those of them that are held, in that order, with the reason as text: paused, awaiting, or not to
 * be read, because they are damaged or state_migrate refused.  An empty id: the type. */
SF_API sf_cursor *sf_view_held(sf_view *view, const char *type);
SF_API sf_bytes sf_view_state(sf_view *view, sf_address address); /* lent until the next call */
SF_API sf_bytes sf_view_value(sf_view *view, sf_address address, const sf_value *value);
/* What a map, or a list, had then, as sf_map_scan() and sf_list_scan() hand it out. */
SF_API sf_cursor *sf_view_map(sf_view *view, sf_address address, const sf_map *map,
                              const sf_range *range);
SF_API sf_cursor *sf_view_list(sf_view *view, sf_address address, const sf_list *list,
                               int backwards);
/* The first dead letter whose number is greater; NULL: none.  Lent until the next call.  Damaged
 * ones are passed over; if none comes after them it is SF_ECORRUPT. */
SF_API const sf_message *sf_view_dead(sf_view *view, uint64_t after_sequence);
/* Why the newest of these calls but the cursors lent nothing; 0: nothing is there.  SF_ENOTFOUND
 * (type), SF_EFAILED (sf_migrate), SF_ENEWER, SF_ECORRUPT, SF_EDISK, SF_EINVAL, SF_ENOMEM.  A
 * cursor has its own. */
SF_API int sf_view_error(const sf_view *view);

/* -- damage ---------------------------------------------------------------------------------- */

/* A sentence lent during the call: which table, which key (what is no letter as \xHH), what is
 * wrong. */
typedef void sf_problem(const char *sentence, void *userdata);

/* Looks at all that a directory holds, whether it is open or not, here or in another process:
 * pages, rows and their checksums, and how they belong together.  Reads only, and maps nothing, so
 * that no damage is a signal.  Returns the number of problems; up to 10000 of them are told, at the
 * end.  A directory that is not open cannot be opened meanwhile; one that is open here must stay so
 * until this returns, and its file does not reuse room.  Errors: SF_ENOTFOUND, SF_EACCESS,
 * SF_EFOREIGN, SF_ENEWER, SF_ELOCKED (somebody opens or verifies it just now), SF_EAGAIN, SF_EDISK,
 * SF_ENOMEM.  [any] A damaged actor, message or dead letter is passed over and counted
 * (sf_stats.fenced, .damaged), and all others go on; SF_ECORRUPT for all is damage in what all
 * need: pages, types, counters, the changelog.  The way on is a backup that sf_verify() finds
 * whole; or, knowing what is lost, to live without the rows that it names. */
SF_API int64_t sf_verify(const char *dir, sf_problem *problem, void *userdata);

#ifdef __cplusplus
}
#endif
#endif
