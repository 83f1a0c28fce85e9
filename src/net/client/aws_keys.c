#include "net/client/aws_keys.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/sys.h"
#include "base/thread.h"
#include "net/client/aws_role.h"

struct keys {
    char id[AWS_KEY_BYTES_MAX], secret[AWS_KEY_BYTES_MAX], token[AWS_TOKEN_BYTES_MAX];
};
struct aws_keys {
    char *path;         /* of the file; NULL: they are not in one */
    enum aws_role role; /* whose keys they are; AWS_ROLE_NONE: of the environment or the file */
    const char *profile;
    pthread_mutex_t lock; /* guards everything below, also while keys are fetched */
    struct http_client *http;
    int64_t until_us; /* a role's keys end then; 0: it is not known */
    bool refused;
    struct timespec mtime;
    ino_t inode;
    struct keys now;
};

static bool copy_text(struct str text, char *out, size_t size)
{
    if (text.len >= size || memchr(text.p, '\0', text.len))
        return false;
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
    return true;
}

/* ---- The file ---- */

/* "[default]"; in a configuration file also "[profile default]". */
static bool begins_section(struct str line, const char *profile)
{
    struct str name = str_trim(str_sub(line, 1, str_find(line, STR("]")) - 1));

    return str_eq_c(name, profile);
}

static bool take_setting(struct str line, struct keys *out)
{
    size_t at = str_find(line, STR("="));
    struct str name, value;

    if (at == SIZE_MAX)
        return true;
    name = str_trim(str_sub(line, 0, at));
    value = str_trim(str_sub(line, at + 1, line.len));
    if (str_eq_c(name, "aws_access_key_id"))
        return copy_text(value, out->id, sizeof out->id);
    if (str_eq_c(name, "aws_secret_access_key"))
        return copy_text(value, out->secret, sizeof out->secret);
    if (str_eq_c(name, "aws_session_token"))
        return copy_text(value, out->token, sizeof out->token);
    return true;
}

static int read_section(const struct aws_keys *k, struct str text, struct keys *out,
                        struct error *e)
{
    struct str line;
    bool ours = false;

    while (str_next(&text, '\n', &line)) {
        line = str_trim(line);
        if (line.len == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (line.p[0] == '[')
            ours = begins_section(line, k->profile);
        else if (ours && !take_setting(line, out))
            return error_set(e, ERROR_INVALID_ARGUMENT, "%s has a key that is too long", k->path);
    }
    if (out->id[0] && out->secret[0])
        return 0;
    return error_set(e, ERROR_FAILED_PRECONDITION,
                     "%s has no aws_access_key_id and aws_secret_access_key in [%s]", k->path,
                     k->profile);
}

/* The stamp is taken before the file is read: the next look sees a change between the two. */
static int look_at_file(struct aws_keys *k, struct error *e)
{
    struct buf text = BUF_INIT(AWS_FILE_BYTES_MAX);
    struct keys fresh = { 0 };
    struct stat st;

    if (stat(k->path, &st) < 0)
        return error_errno(e, "cannot read the keys' file %s", k->path);
    if (st.st_ino == k->inode && st.st_mtim.tv_sec == k->mtime.tv_sec &&
        st.st_mtim.tv_nsec == k->mtime.tv_nsec)
        return 0;
    int rc = sys_read_file(k->path, AWS_FILE_BYTES_MAX, &text, e);
    if (rc == 0)
        rc = read_section(k, buf_str(&text), &fresh, e);
    if (rc == 0) {
        k->now = fresh;
        k->inode = st.st_ino;
        k->mtime = st.st_mtim;
    }
    if (text.p)
        OPENSSL_cleanse(text.p, text.cap);
    OPENSSL_cleanse(&fresh, sizeof fresh);
    buf_release(&text);
    return rc;
}

/* ---- The environment ---- */

static bool take_environment(struct keys *out)
{
    const char *id = env_get("AWS_ACCESS_KEY_ID"), *secret = env_get("AWS_SECRET_ACCESS_KEY"),
               *token = env_get("AWS_SESSION_TOKEN");

    return id && secret && copy_text(str_of(id), out->id, sizeof out->id) &&
           copy_text(str_of(secret), out->secret, sizeof out->secret) &&
           (!token || copy_text(str_of(token), out->token, sizeof out->token));
}

static char *file_path(void)
{
    const char *named = env_get("AWS_SHARED_CREDENTIALS_FILE"), *home = env_get("HOME");
    struct buf path = BUF_INIT(4096);

    if (named)
        return mem_strdup(named);
    buf_addf(&path, "%s/.aws/credentials", home ? home : "");
    return path.p; /* made by the allocator of mem.h, as mem_strdup's */
}

/* ---- A role ---- */

static int fetch(struct aws_keys *k, struct error *e)
{
    struct arena a = { 0 };
    struct aws_role_keys got;
    struct keys fresh = { 0 };
    int rc = aws_role_fetch(k->role, k->http, &a, &got, e);

    if (rc == 0 && !(copy_text(got.id, fresh.id, sizeof fresh.id) &&
                     copy_text(got.secret, fresh.secret, sizeof fresh.secret) &&
                     copy_text(got.token, fresh.token, sizeof fresh.token)))
        rc = error_set(e, ERROR_UNAVAILABLE, "the keys of the role are too long");
    if (rc == 0) {
        k->now = fresh;
        k->until_us = got.until_us;
        k->refused = false;
    }
    OPENSSL_cleanse(&fresh, sizeof fresh);
    arena_release(&a);
    return rc;
}

/* Keys that still hold are used while no newer ones can be had. */
static int look_at_role(struct aws_keys *k, struct error *e)
{
    int64_t now = clock_system()->wall_us(clock_system());
    bool soon = k->until_us && now > k->until_us - AWS_KEYS_EARLY_S * INT64_C(1000000);
    struct error why = { 0 };

    if (!soon && !k->refused)
        return 0;
    if (fetch(k, &why) == 0 || (!k->refused && now < k->until_us))
        return 0;
    *e = why;
    return -1;
}

/* ---- For callers ---- */

/* The first place that has keys. */
static int find(struct aws_keys *k, struct error *e)
{
    enum aws_role role = aws_role_named();
    struct error why = { 0 };

    if (take_environment(&k->now))
        return 0;
    if (role != AWS_ROLE_WEB) {
        k->path = file_path();
        if (look_at_file(k, &why) == 0)
            return 0;
        if (why.code != ERROR_NOT_FOUND) {
            *e = why;
            return -1;
        }
        mem_free(k->path);
        k->path = NULL;
    }
    k->role = role;
    if (fetch(k, &why) == 0)
        return 0;
    if (role == AWS_ROLE_WEB || role == AWS_ROLE_CONTAINER) {
        *e = why;
        return -1;
    }
    return error_set(e, ERROR_FAILED_PRECONDITION,
                     "no keys for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a "
                     "file with them in AWS_SHARED_CREDENTIALS_FILE; this machine has no role (%s)",
                     why.msg);
}

struct aws_keys *aws_keys_new(struct error *e)
{
    struct aws_keys *k = mem_alloc(sizeof *k);
    const char *profile = env_get("AWS_PROFILE");

    lock_init(&k->lock);
    k->http = http_client_new();
    k->profile = profile ? profile : "default";
    if (find(k, e) == 0)
        return k;
    aws_keys_free(k);
    return NULL;
}

void aws_keys_free(struct aws_keys *k)
{
    if (!k)
        return;
    OPENSSL_cleanse(&k->now, sizeof k->now);
    lock_destroy(&k->lock);
    http_client_free(k->http);
    mem_free(k->path);
    mem_free(k);
}

int aws_keys_get(struct aws_keys *k, struct arena *a, struct str *id, struct str *secret,
                 struct str *token, struct error *e)
{
    struct error ignored = { 0 }; /* the old keys of a file stay, until they are refused */
    int rc = 0;

    lock(&k->lock);
    if (k->path)
        (void)look_at_file(k, &ignored);
    if (k->role != AWS_ROLE_NONE)
        rc = look_at_role(k, e);
    *id = str_of(arena_copy(a, k->now.id, strlen(k->now.id)));
    *secret = str_of(arena_copy(a, k->now.secret, strlen(k->now.secret)));
    *token = str_of(arena_copy(a, k->now.token, strlen(k->now.token)));
    unlock(&k->lock);
    return rc;
}

void aws_keys_refused(struct aws_keys *k)
{
    lock(&k->lock);
    k->refused = true;
    unlock(&k->lock);
}
