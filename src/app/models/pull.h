/* pull.h -- a model's file from a hub that speaks Hugging Face's API: found, downloaded, checked, kept.
 *
 * Why: a file of gigabytes must survive a cut line, a full disk and an impatient user; and nothing may be kept
 *      that is not, bit by bit, what the hub says it is.
 *
 * Shape:   the API names the commit, the size and the SHA-256 of the file; the bytes come from
 *          REPO/resolve/COMMIT/FILE, which mostly sends to another host. The bytes that have come stay in
 *          FOLDER/SHA256.part; the same command goes on there. When all has come and has the hash, it is renamed to
 *          FOLDER/NAME.gguf.
 * Token:   HF_TOKEN goes to the hub's own origin only, never to where it sends us.
 * Retries: when the line breaks, the hub is busy (429, with its Retry-After) or fails (5xx): PULL_TRIES times
 *          without a byte in between.
 * Errors:  NOT_FOUND: no such repository or file, with the files that are there; PERMISSION_DENIED: a licence must
 *          be accepted, or the token is wrong; RESOURCE_EXHAUSTED: the disk; DATA_LOSS: another hash, and the
 *          part is removed; CANCELLED: stopped, and the part stays.
 * Threads: one.
 * Source:  https://huggingface.co/docs/hub/api
 */
#ifndef TRANCHE_APP_MODELS_PULL_H
#define TRANCHE_APP_MODELS_PULL_H

#include <stdatomic.h>

#include "app/cli/terminal.h"
#include "base/error.h"
#include "base/mem.h"

#define PULL_TRIES 6

struct pull {
    const char *what; /* a name of the catalogue, OWNER/REPO[:FILE], or a URL */
    const char *as;   /* kept as this name; NULL: the catalogue's, or the file's */
    const char *
        sha256; /* that the file must have; needed for a URL of another server than the hub; NULL: the hub's */
    const char *folder;
    const struct terminal *terminal;
    bool progress;           /* say how far it is */
    const atomic_bool *stop; /* or NULL */
};
/* *path: the file, in the arena. *had: it was there already. */
int pull_model(const struct pull *p, struct arena *a, const char **path, bool *had,
               struct error *e) FALLIBLE;

#endif
