#include "net/client/credential.h"

#include <pthread.h>

#include "base/thread.h"
#include "net/client/credential_inner.h"

struct credential {
    enum { NOTHING, GIVEN, IN_FILE, OF_ACCOUNT } kind;
    const char *path, *ca_file;
    char *found; /* path of the application default credentials */
    struct clock *clock;
    atomic_bool stop, is_token;

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t news;  /* a fetch ended; with the monotonic clock */
    struct buf secret;    /* empty: there is none at the moment */
    struct error fault;   /* why there is none, or no newer one */
    uint64_t next_ns;     /* when to look at the file, or fetch a token, again */
    struct credential_stamp stamp;

    pthread_t thread;          /* fetches a token */
    bool fetching;             /* the thread has not stored its result yet */
    bool to_join;              /* the thread was started and not joined yet */
    bool failed;               /* the fetch failed: the next caller sets next_ns */
    uint64_t begun_ns;         /* when the fetch began */
    uint64_t token_ns, end_ns; /* when the token's did; when the token ends */
};

/* ---- Keys ---- */

static void look_at_file(struct credential *c, uint64_t now_ns)
{
    struct error e = { 0 };

    c->next_ns = now_ns + CREDENTIAL_LOOK_S * NS_PER_S;
    int rc = credential_secret_read(c->path, &c->stamp, &c->secret, &e);
    c->fault = e;
    if (rc > 0)
        atomic_store(&c->is_token, credential_secret_is_token(buf_str(&c->secret)));
}

static int open_source(struct credential *c, const struct credential_spec *from, struct error *e)
{
    struct credential_account account = { 0 };

    if (!!from->secret + !!from->secret_file + !!from->service_account + from->adc > 1)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a key, a key's file and a service account exclude each other");
    if (from->secret)
        c->kind = GIVEN;
    else if (from->secret_file)
        c->kind = IN_FILE;
    else if (from->service_account || from->adc)
        c->kind = OF_ACCOUNT;
    if (from->adc)
        c->found = credential_default_path();
    c->path = from->adc ? c->found : from->secret_file ? from->secret_file : from->service_account;
    atomic_store(&c->is_token, c->kind == OF_ACCOUNT);
    if (c->kind == GIVEN) {
        if (credential_secret_take(str_of(from->secret), "the key", &c->secret, e) < 0)
            return -1;
        atomic_store(&c->is_token, credential_secret_is_token(buf_str(&c->secret)));
    }
    if (c->kind == IN_FILE) {
        look_at_file(c, c->clock->mono_ns(c->clock));
        if (c->fault.code != ERROR_OK) {
            *e = c->fault;
            return -1;
        }
    }
    if (c->kind == OF_ACCOUNT && credential_account_read(c->path, &account, e) < 0)
        return -1;
    credential_account_release(&account);
    return 0;
}

/* ---- Tokens ---- */

/* A token is not fetched again while more than half of its life is left, however short it is. */
static void keep_token(struct credential *c, const struct buf *token, uint32_t life_s)
{
    uint32_t early_s = life_s / 2 < CREDENTIAL_EARLY_S ? life_s / 2 : CREDENTIAL_EARLY_S;

    buf_clear(&c->secret);
    buf_add_str(&c->secret, buf_str(token));
    c->token_ns = c->begun_ns;
    c->end_ns = c->begun_ns + life_s * NS_PER_S;
    c->next_ns = c->end_ns - early_s * NS_PER_S;
}

static void *fetch_token(void *arg)
{
    struct credential *c = arg;
    struct credential_account account = { 0 };
    struct buf token = BUF_INIT(CREDENTIAL_BYTES_MAX);
    struct error e = { 0 };
    uint32_t life_s = 0;
    int rc = credential_account_read(c->path, &account, &e);

    if (rc == 0)
        rc = credential_token_fetch(&account, c->ca_file, &c->stop, &token, &life_s, &e);
    credential_account_release(&account);
    lock(&c->lock);
    if (rc == 0)
        keep_token(c, &token, life_s);
    c->fault = e;
    c->failed = rc < 0;
    c->fetching = false;
    cond_broadcast(&c->news);
    unlock(&c->lock);
    credential_wipe(&token);
    return NULL;
}

/* A thread that has stored its result does not need the lock again, so it may be joined under it. */
static void start_fetch(struct credential *c, uint64_t now_ns)
{
    if (c->to_join)
        thread_join(c->thread);
    c->begun_ns = now_ns;
    c->to_join = c->fetching = pthread_create(&c->thread, NULL, fetch_token, c) == 0;
    if (c->fetching)
        return;
    (void)error_set(&c->fault, ERROR_RESOURCE_EXHAUSTED, "no thread to fetch an access token");
    c->next_ns = now_ns + CREDENTIAL_RETRY_S * NS_PER_S;
}

/* Only callers read the clock, so the wait after a failure begins when a caller first sees it. */
static void look_at_token(struct credential *c, uint64_t now_ns)
{
    if (c->secret.len && now_ns >= c->end_ns)
        buf_clear(&c->secret);
    if (c->failed)
        c->next_ns = now_ns + CREDENTIAL_RETRY_S * NS_PER_S;
    c->failed = false;
    if (!c->fetching && now_ns >= c->next_ns)
        start_fetch(c, now_ns);
}

static int get_secret(struct credential *c, struct buf *out, struct error *e)
{
    uint64_t now_ns = c->clock->mono_ns(c->clock);

    buf_clear(out);
    if (c->kind == IN_FILE && now_ns >= c->next_ns)
        look_at_file(c, now_ns);
    if (c->kind == OF_ACCOUNT)
        look_at_token(c, now_ns);
    if (c->secret.len == 0 && c->fetching)
        return 0;
    if (c->secret.len == 0 && c->kind != NOTHING) {
        *e = c->fault;
        return -1;
    }
    buf_add_str(out, buf_str(&c->secret));
    return buf_ok(out) ? 1 : error_set(e, ERROR_INVALID_ARGUMENT, "the key is too long");
}

/* ---- For callers ---- */

void credential_free(struct credential *c)
{
    if (!c)
        return;
    atomic_store(&c->stop, true);
    if (c->to_join)
        thread_join(c->thread);
    credential_wipe(&c->secret);
    cond_destroy(&c->news);
    lock_destroy(&c->lock);
    mem_free(c->found);
    mem_free(c);
}

struct credential *credential_new(const struct credential_spec *from, struct clock *clock,
                                  const char *ca_file, struct error *e)
{
    struct credential *c = mem_alloc(sizeof *c);

    c->clock = clock;
    c->ca_file = ca_file;
    c->secret = BUF_INIT(CREDENTIAL_BYTES_MAX);
    lock_init(&c->lock);
    cond_init(&c->news);
    if (open_source(c, from, e) == 0)
        return c;
    credential_free(c);
    return NULL;
}

int credential_get(struct credential *c, struct buf *out, struct error *e)
{
    lock(&c->lock);
    int rc = get_secret(c, out, e);
    unlock(&c->lock);
    return rc;
}

int credential_wait(struct credential *c, uint32_t timeout_ms, struct buf *out, struct error *e)
{
    uint64_t deadline = deadline_in_ms(timeout_ms);
    int rc;

    lock(&c->lock);
    while ((rc = get_secret(c, out, e)) == 0 && cond_wait_until(&c->news, &c->lock, deadline)) {
    }
    unlock(&c->lock);
    if (rc == 0)
        return error_set(e, ERROR_DEADLINE_EXCEEDED, "no access token within %lu ms",
                         (unsigned long)timeout_ms);
    return rc;
}

void credential_refused(struct credential *c)
{
    uint64_t now_ns = c->clock->mono_ns(c->clock);

    lock(&c->lock);
    bool young = c->kind == OF_ACCOUNT && now_ns < c->token_ns + CREDENTIAL_RETRY_S * NS_PER_S;
    if (c->secret.len && c->kind >= IN_FILE && !young) {
        buf_clear(&c->secret);
        c->stamp = (struct credential_stamp){ 0 };
        c->next_ns = c->fault.code == ERROR_OK ? now_ns : c->next_ns;
    }
    unlock(&c->lock);
}

bool credential_is_token(const struct credential *c)
{
    return atomic_load(&c->is_token);
}
