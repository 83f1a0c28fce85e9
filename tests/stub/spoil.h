/* spoil.h -- answers as they must not be: what each kind of fault puts on the wire.
 *
 * Shape:   the bytes go to `out`; what is to happen when they are sent is the return value.
 * Threads: none.
 */
#ifndef TRANCHE_STUB_SPOIL_H
#define TRANCHE_STUB_SPOIL_H

#include "reply.h"

enum after {
    AFTER_KEEP,    /* the connection goes on */
    AFTER_CLOSE,   /* it ends */
    AFTER_RESET,   /* it ends with RST */
    AFTER_HANG,    /* nothing, until the client goes */
    AFTER_DRIP,    /* the bytes that are held go out one by one; then it goes on */
    AFTER_ENDLESS, /* more and more, until the client goes */
};
struct spoiled {
    enum after after;
    size_t held; /* of out's end, with AFTER_DRIP */
};

/* `body` is a buffer to work in. */
struct spoiled spoil_write(const struct reply *r, struct buf *body, struct buf *out);
/* One more piece of an endless body. */
void spoil_endless(struct buf *out);

#endif
