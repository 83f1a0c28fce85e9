/* link.h -- messages between a model's process and its parent, over a stream socket.
 *
 * Shape:   a frame is a head and bytes; ids are the parent's. Parent to child: HELLO (the model, as JSON), then
 *          SUBMIT, CANCEL, DRAIN, COUNT, JUDGE. Child to parent: READY or FAILED, then an ANSWER for each
 *          SUBMIT, COUNTED and JUDGED.
 *          Both ends are the same program, so that heads and the structs below are bytes of memory.
 * Trust:   a child may have been taken over by a file that it read. The parent checks each frame: sizes, ids,
 *          codes, ends of strings, and that an answer is JSON.
 * Limits:  LINK_FRAME_BYTES_MAX for a frame.
 * Errors:  INTERNAL for what the other end cannot have meant.
 * Threads: each end of the socket has one reader; writers are serialised by their caller.
 */
#ifndef TRANCHE_PREDICT_CHILD_LINK_H
#define TRANCHE_PREDICT_CHILD_LINK_H

#include <sys/types.h>

#include "format/request/violation.h"
#include "predict/predictor.h"

#define LINK_FDS_MAX 64 /* that wait to be taken */
#define LINK_FRAME_BYTES_MAX ((size_t)128 * 1024 * 1024)

enum link_kind {
    LINK_HELLO,
    LINK_SUBMIT, /* link_request and the request; of COUNT and JUDGE too */
    LINK_CANCEL,
    LINK_DRAIN,
    LINK_FILE, /* the id is a number that requests name; a descriptor comes with it; its name */
    LINK_COUNT,
    LINK_JUDGE,
    LINK_READY,   /* link_ready */
    LINK_FAILED,  /* struct error */
    LINK_ANSWER,  /* link_answer and the response */
    LINK_COUNTED, /* link_answer: the tokens are usage.prompt_tokens */
    LINK_JUDGED,  /* struct violation, or nothing for a request that is accepted */
    LINK_KINDS
};

struct link_head {
    uint32_t kind;
    uint32_t bytes; /* that follow */
    uint64_t id;
};

struct link_request {
    uint32_t adapters; /* of file and scale; 0: those of the model itself */
    uint32_t file[MODEL_ADAPTERS_MAX];
    float scale[MODEL_ADAPTERS_MAX];
    uint64_t seed;    /* of sampling, for a request without one */
    int64_t clock_us; /* to add to the system's time */
};

struct link_ready {
    uint32_t window, attempts;
    bool counts, judges, cancels, adapts; /* ops that the session has */
    char version[sizeof((struct predictor *)NULL)->version];
};

struct link_answer {
    struct error error;
    uint32_t retry_after_ms, forced_tokens;
    bool final, own_failure, hopeless, rejected, complete;
    struct usage usage;
};

struct link_frame {
    enum link_kind kind;
    uint64_t id;
    struct str bytes; /* until the next link_read or link_next */
};

/* Appends a frame of two parts; b may be empty. */
void link_add(struct buf *out, enum link_kind kind, uint64_t id, struct str a, struct str b);

/* Bytes that were received and not taken. */
struct link_in {
    char *p;
    size_t from, to, cap;
    int fd[LINK_FDS_MAX]; /* fd_count descriptors, the oldest first; with takes_fds */
    uint32_t fd_count;
    bool takes_fds;
};
void link_in_release(struct link_in *in);
/* One recv: 1 when there is more, 0 at the end, -1 with errno. */
int link_read(struct link_in *in, int fd);
/* The next whole frame: 1; 0: link_read first; -1: not a frame. */
int link_next(struct link_in *in, struct link_frame *out, struct error *e);

/* The oldest descriptor, which is the caller's then, or -1. */
int link_take_fd(struct link_in *in);
/* As send, without waiting; a descriptor goes with the first byte. */
ssize_t link_send_some(int fd, struct str bytes, int with);

/* Sends all of it, waiting. False: the other end is gone. */
bool link_send(int fd, struct str bytes);

/* The parts of a model's entry that its session reads. */
void link_model_write(const struct model *m, const struct predictor_env *env, struct buf *out);
int link_model_read(struct arena *a, struct str text, struct model *m, struct predictor_env *env,
                    struct error *e) FALLIBLE;

#endif
