#include "app/serve/service_account.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sys.h"

#define RSA_BITS 2048
#define FILE_BYTES_MAX ((size_t)16 * 1024)
#define NAME_BYTES_MAX 30
#define EMAIL_RANDOM_BYTES 4
#define KEY_ID_BYTES 20

/* An e-mail name of lower-case letters, digits and "-", and of its own by chance. */
static int make_email(struct arena *a, const char *project, const char *name, struct str *out,
                      struct error *e)
{
    struct buf email = BUF_INIT(512);
    char hex[2 * EMAIL_RANDOM_BYTES + 1];

    for (size_t i = 0; name[i] && i < NAME_BYTES_MAX; i++) {
        char c = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        buf_add_char(&email, plain ? c : '-');
    }
    buf_add_char(&email, '-');
    int rc = random_hex(hex, EMAIL_RANDOM_BYTES, e);
    buf_addf(&email, "%s@%s.tranche.internal", hex, project);
    *out = (struct str){ arena_copy(a, email.p, email.len), email.len };
    buf_release(&email);
    return rc;
}

/* Appends the text that OpenSSL has written to memory, and wipes that memory. */
static void take_text(BIO *from, struct buf *out)
{
    char *p = NULL;
    long len = BIO_get_mem_data(from, &p);

    if (len > 0) {
        buf_add(out, p, (size_t)len);
        OPENSSL_cleanse(p, (size_t)len);
    }
}

static int write_keys(EVP_PKEY *key, struct buf *private_key, struct buf *public_key)
{
    BIO *one = BIO_new(BIO_s_mem()), *two = BIO_new(BIO_s_mem());
    bool ok = one && two &&
              PEM_write_bio_PKCS8PrivateKey(one, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              PEM_write_bio_PUBKEY(two, key) == 1;

    if (ok) {
        take_text(one, private_key);
        take_text(two, public_key);
    }
    BIO_free(one);
    BIO_free(two);
    return ok && buf_ok(private_key) && buf_ok(public_key) ? 0 : -1;
}

static int write_file(struct service_account *s, const char *project, const char *url,
                      struct str private_key, struct error *e)
{
    struct json_writer w = JSON_WRITER(&s->file);
    struct str base = str_of(url);
    char key_id[2 * KEY_ID_BYTES + 1];
    uint64_t client = 0;

    while (str_ends(base, STR("/")))
        base = str_sub(base, 0, base.len - 1);
    if (random_hex(key_id, KEY_ID_BYTES, e) < 0 || random_bytes(&client, sizeof client, e) < 0)
        return -1;
    w.spaced = true;
    json_object(&w, NULL);
    json_add_c(&w, "type", "service_account");
    json_add_c(&w, "project_id", project);
    json_add_c(&w, "private_key_id", key_id);
    json_add_text(&w, "private_key", private_key);
    json_add_text(&w, "client_email", s->email);
    json_addf(&w, "client_id", "1%020llu", (unsigned long long)client);
    json_addf(&w, "token_uri", "%.*s/token", STR_ARG(base));
    json_add_c(&w, "universe_domain", "googleapis.com");
    json_end(&w);
    buf_add_char(&s->file, '\n');
    return buf_ok(&s->file) ? 0 : error_set(e, ERROR_INVALID_ARGUMENT, "the URL is too long");
}

int service_account_make(struct arena *a, const char *project, const char *name, const char *url,
                         struct service_account *out, struct error *e)
{
    struct buf private_key = BUF_INIT(FILE_BYTES_MAX), public_key = BUF_INIT(FILE_BYTES_MAX);
    EVP_PKEY *key = EVP_RSA_gen(RSA_BITS);
    int rc = -1;

    *out = (struct service_account){ .file = BUF_INIT(FILE_BYTES_MAX) };
    if (!key || write_keys(key, &private_key, &public_key) < 0) {
        (void)error_set(e, ERROR_INTERNAL, "cannot make an RSA key");
        goto out;
    }
    out->public_key = (struct str){ arena_copy(a, public_key.p, public_key.len), public_key.len };
    if (make_email(a, project, name, &out->email, e) < 0)
        goto out;
    rc = write_file(out, project, url, buf_str(&private_key), e);
out:
    if (private_key.p)
        OPENSSL_cleanse(private_key.p, private_key.cap);
    buf_release(&private_key);
    buf_release(&public_key);
    EVP_PKEY_free(key);
    return rc;
}

void service_account_release(struct service_account *s)
{
    if (s->file.p)
        OPENSSL_cleanse(s->file.p, s->file.cap);
    buf_release(&s->file);
}

int service_account_write(const struct service_account *s, const char *path, struct error *e)
{
    struct error late = { 0 };

    if (access(path, F_OK) == 0)
        return error_set(e, ERROR_ALREADY_EXISTS, "%s is there already; name another file", path);
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_EXCL, e);
    if (fd < 0)
        return -1;
    int rc = sys_write_all(fd, s->file.p, s->file.len, path, e);
    if (rc == 0)
        rc = sys_sync(fd, path, e);
    if (close(fd) < 0 && rc == 0)
        rc = error_errno(e, "cannot write %s", path);
    if (rc < 0 && sys_remove_all(path, &late) < 0)
        log_warn("%s", late.msg);
    return rc;
}
