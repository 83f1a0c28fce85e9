/* signins.h -- browsers that are signed in to the console.
 *
 * Why: a page must not keep a key where scripts can read it. The key is sent once; from then on the browser has
 *      a cookie whose text only names a session, and the store has the hash of that text.
 *
 * Shape:   a session belongs to a key and ends with it (revoked or expired), after SESSION_IDLE_S without
 *          signin_touch, and SESSION_LIFE_S after it began. Ended rows are deleted when the next one is made.
 * Threads: all. signin_create, signin_touch and signin_end write to the store.
 */
#ifndef TRANCHE_STORE_JOBS_SIGNINS_H
#define TRANCHE_STORE_JOBS_SIGNINS_H

#include "store/jobs/keys.h"

#define SESSION_IDLE_S ((int64_t)12 * 3600)
#define SESSION_LIFE_S ((int64_t)30 * 86400)
#define SESSION_TEXT_BYTES 44 /* 43 random characters and a NUL */

int signin_create(struct store *s, const char *key_id, char text[SESSION_TEXT_BYTES],
                  struct error *e) FALLIBLE;
/* 1 and the valid key of this session, else 0. */
int signin_find(struct store *s, struct arena *a, struct str text, struct key *out,
                struct error *e) FALLIBLE;
int signin_touch(struct store *s, struct str text, struct error *e) FALLIBLE;
int signin_end(struct store *s, struct str text,
               struct error *e) FALLIBLE; /* a missing one: nothing */

#endif
