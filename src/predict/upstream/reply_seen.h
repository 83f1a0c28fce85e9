/* reply_seen.h -- replies that came before: one that comes twice belongs to another request.
 *
 * Why: HTTP/1.1 answers in order and without names. A server or proxy that answers one request twice
 * shifts all that follow on the connection, and a line would get another line's answer, silently.
 *
 * Shape:   a reply is known by its id and all its bytes. A server whose ids repeat with other bytes
 *          does not make unique ones: it is believed from then on.
 * Memory:  SEEN_SLOTS of 16 bytes; an older reply gives its slot to a newer one.
 * Threads: none; the loop's.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_REPLY_SEEN_H
#define TRANCHE_PREDICT_UPSTREAM_REPLY_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define SEEN_SLOTS 4096

struct reply_seen {
    struct {
        uint64_t id, body;
    } slot[SEEN_SLOTS];
    bool ids_repeat; /* nothing can be told */
};
/* Has this reply come before? response: as it goes into the row; its responseId is looked for.
 * body: as it came. */
bool reply_seen(struct reply_seen *s, struct str response, struct str body);

#endif
