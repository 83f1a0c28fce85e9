/* child_session.h -- what the files of a session in a process share; see predictor_child.h.
 *
 * Shape:   traffic.c has the requests on their way and what the child says of them; adapter_files.c the files that go
 *          with them; start.c loads the model in a new process; crash.c finds who ended one; link_thread.c reads
 *          the socket and starts the next; predictor_child.c is the owner's side.
 * Threads: the owner's, that of the link, and those that call accepts and count_tokens. Members say whose they are.
 *          A function that does not say otherwise is called with the lock held.
 */
#ifndef TRANCHE_PREDICT_CHILD_CHILD_SESSION_H
#define TRANCHE_PREDICT_CHILD_CHILD_SESSION_H

#include <pthread.h>
#include <sys/stat.h>

#include "base/chan.h"
#include "predict/child/judged.h"
#include "predict/child/link.h"
#include "predict/child/page.h"
#include "predict/child/predictor_child.h"

/* A file of an adapter, which a child gets as a descriptor. */
struct child_file {
    char *path;     /* NULL: free */
    struct stat as; /* a file that is replaced is another one */
    int fd;
    uint32_t users;   /* requests without an answer */
    uint64_t used;    /* the last of them */
    bool sent;        /* to the child that runs */
    struct error why; /* a child ended twice while it loaded this file and nothing else; or OK */
};

enum item_state { ITEM_WAITING, ITEM_SENT };
/* A submitted request that has no answer yet. */
struct item {
    uint64_t id;
    const struct request *request; /* borrowed until the answer is taken */
    struct link_request head;
    enum item_state state;
    bool suspect;  /* a child ended while it touched this request */
    bool tried;    /* it is in the group that is tried now */
    bool unwanted; /* it was cancelled when it had been sent */
    uint32_t alone_crashes;
    struct answer answer; /* its tag from the beginning */
};

/* A call that waits for its reply. */
struct call {
    enum link_kind kind;
    uint64_t id;
    const struct request *request;
    uint32_t crashes; /* while it was touched */
    bool sent, done;
    struct link_answer answer;
    struct violation why;
    struct call *next;
};

struct child_session {
    struct predictor base;    /* first, so that a pointer to it is one to this */
    struct predictor_ops ops; /* without those that the child's session lacks */
    struct model model;
    struct predictor_env env;
    uint64_t load_ms, step_ms; /* deadlines */
    uint64_t trap_ms;          /* the deadline of a step that is in a test's trap */
    uint64_t memory_bytes;
    pthread_t thread;
    int weights;       /* a memfd: packed by the first child, mapped by those after it */
    int wake;          /* an event: something to send, or to stop */
    struct chan *done; /* struct item with its answer */
    struct judged *judged;
    /* The link thread's: */
    struct sandbox *sandbox; /* NULL: none runs */
    struct link_in in;
    struct arena checking;
    uint64_t beats, beats_ns; /* as last seen, and since when */
    /* The owner's: */
    uint32_t open;                       /* submitted and not taken */
    const struct adapter_list *adapters; /* of what is submitted next; NULL: the model's own */
    pthread_mutex_t lock;                /* guards what follows */
    pthread_cond_t changed;              /* a call is done, or the session broken */
    int fd;                              /* of the socket; -1: no child is ready */
    struct child_page *page;
    struct buf out; /* from out_at on: to be sent */
    size_t out_at;
    struct {
        size_t at; /* goes with this byte of out */
        int fd;    /* of file, which has users until then */
    } out_fd[CHILD_FILES_MAX];
    uint32_t out_fds;
    struct child_file file[CHILD_FILES_MAX];
    struct item **item; /* [window], item_count of them, the oldest first */
    uint32_t item_count, sent_count;
    struct call *call;
    uint64_t id;     /* the last one */
    uint64_t random; /* state of the seeds of requests without one */
    uint32_t trial;  /* requests of a group that is tried; 0: there are no suspects */
    uint32_t crashes_in_a_row;
    struct predictor_stats past; /* of children that ended */
    uint64_t restarts, crashes;
    bool stopping, draining, broken;
    struct error why; /* when broken */
};

/* ---- traffic.c ---- */

void child_wake(struct child_session *s); /* the link thread; without the lock, too */
/* Its answer is in it: it is the owner's now. */
void child_finish(struct child_session *s, struct item *i);
void child_finish_with(struct child_session *s, struct item *i, const struct error *why);
void child_forget_out(struct child_session *s);
/* Sends what fits; the link thread sends the rest. */
void child_send_some(struct child_session *s);
void child_add_request(struct child_session *s, enum link_kind kind, uint64_t id,
                       const struct request *r, struct link_request head);
void child_send_item(struct child_session *s, struct item *i);
bool child_is_ready(const struct child_session *s);
/* The next group of suspects; when none is left, everything. */
void child_send_waiting(struct child_session *s);
void child_end_call(struct child_session *s, struct call *c);
/* All frames that have arrived. Takes the lock. INTERNAL: the child does not keep to the protocol. */
int child_take_frames(struct child_session *s, struct error *e) FALLIBLE;
int child_refuse(const char *what, struct error *e) FALLIBLE; /* INTERNAL: it sent that */

/* ---- adapter_files.c ---- */

/* One more user of each file of the adapters that are set. At a failure the item holds files as well. */
int child_hold_adapters(struct child_session *s, struct item *i, struct error *e) FALLIBLE;
void child_let_files_go(struct child_session *s, const struct item *i);
/* The error of a file that the request names and that is known to be bad; NULL: there is none. */
const struct error *child_bad_file(const struct child_session *s, const struct item *i);
void child_drop_file(struct child_file *f); /* accepts a free one */

/* ---- start.c, crash.c, link_thread.c: on the link thread, or while there is none; they take the lock ---- */

/* Loads the model in a new process. Everything but the first message is ready then. Errors: predictor_child.h. */
int child_start(struct child_session *s, struct link_ready *ready, struct error *e) FALLIBLE;
/* The child has ended: its requests wait again, or are answered when they are to blame. */
void child_bury(struct child_session *s, const char *how);
/* Everything open is answered, and nothing more is taken. */
void child_break(struct child_session *s, const struct error *why);
void *child_link_main(void *arg); /* a struct child_session */
void child_add_stats(struct predictor_stats *sum,
                     const struct predictor_stats *one); /* without the lock, too */

#endif
