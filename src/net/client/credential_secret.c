/* credential_secret.c -- a key or token as it is found: without white space around it, and fit for a header.
 *
 * Why: an editor ends a file with a line break, and a key with one in the middle would forge a header.
 */
#include "net/client/credential_inner.h"

#include <errno.h>

#include <openssl/crypto.h>

#include "base/mem.h"
#include "base/sys.h"

int credential_secret_take(struct str text, const char *where, struct buf *out, struct error *e)
{
    text = str_trim(text);
    if (text.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is empty: a key is expected", where);
    if (text.len > CREDENTIAL_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is over %zu bytes", where,
                         CREDENTIAL_BYTES_MAX);
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~')
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s has white space or another character that no key has, at byte %zu",
                             where, i + 1);
    buf_clear(out);
    buf_add_str(out, text);
    return 0;
}

static bool is_same(const struct credential_stamp *a, const struct credential_stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
           a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* The stamp is taken before the file is read: a change in between is seen by the next look. */
int credential_secret_read(const char *path, struct credential_stamp *stamp, struct buf *out,
                           struct error *e)
{
    struct buf text = BUF_INIT(CREDENTIAL_BYTES_MAX);
    struct stat st;

    if (stat(path, &st) < 0)
        return error_errno(e, "cannot read the key's file %s", path);
    const struct credential_stamp now = { st.st_mtim, st.st_size, st.st_ino };
    if (is_same(&now, stamp))
        return 0;
    int rc = sys_read_file(path, CREDENTIAL_BYTES_MAX, &text, e);
    if (rc == 0)
        rc = credential_secret_take(buf_str(&text), path, out, e);
    credential_wipe(&text);
    if (rc < 0)
        return -1;
    *stamp = now;
    return 1;
}

bool credential_secret_is_token(struct str secret)
{
    static const struct str begins[] = { STR_INIT("ya29."), STR_INIT("eyJ"), STR_INIT("tat.") };

    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (str_starts(secret, begins[i]))
            return true;
    return false;
}

void credential_wipe(struct buf *b)
{
    if (b->p)
        OPENSSL_cleanse(b->p, b->cap);
    buf_release(b);
}
