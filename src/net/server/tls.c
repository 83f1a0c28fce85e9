/* The server's certificate and key: read, and checked in words before GnuTLS sees them. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/sys.h"
#include "net/server/http_inner.h"

/* A server has nobody to ask. */
static int no_password(char *out, int out_bytes, int writing, void *arg)
{
    (void)out, (void)out_bytes, (void)writing, (void)arg;
    return 0;
}

static int pair_check(const char *const path[2], struct str cert, struct str key, struct error *e)
{
    BIO *cert_text = BIO_new_mem_buf(cert.p, (int)cert.len);
    BIO *key_text = BIO_new_mem_buf(key.p, (int)key.len);
    X509 *x = cert_text ? PEM_read_bio_X509(cert_text, NULL, NULL, NULL) : NULL;
    EVP_PKEY *k = key_text ? PEM_read_bio_PrivateKey(key_text, NULL, no_password, NULL) : NULL;
    int rc = 0;

    if (!x)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "%s holds no certificate as PEM", path[0]);
    else if (!k)
        rc = error_set(e, ERROR_INVALID_ARGUMENT,
                       "%s holds no private key as PEM without a password", path[1]);
    else if (X509_check_private_key(x, k) != 1)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "the key %s is not that of the certificate %s",
                       path[1], path[0]);
    EVP_PKEY_free(k);
    X509_free(x);
    (void)BIO_free(key_text);
    (void)BIO_free(cert_text);
    ERR_clear_error();
    return rc;
}

int http_tls_read(const char *cert, const char *key, struct buf out[2], struct error *e)
{
    const char *const path[2] = { cert, key };

    if (!cert && !key)
        return 0;
    if (!cert || !key)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "TLS needs a certificate and its private key, and the %s is missing",
                         cert ? "key" : "certificate");
    for (int i = 0; i < 2; i++)
        if (sys_read_file(path[i], HTTP_PEM_BYTES_MAX, &out[i], e) < 0)
            return error_wrap(e, "TLS");
    if (pair_check(path, buf_str(&out[0]), buf_str(&out[1]), e) < 0)
        return error_wrap(e, "TLS");
    return 0;
}

int http_server_check_tls(const char *cert, const char *key, struct error *e)
{
    struct buf pem[2] = { BUF_INIT(HTTP_PEM_BYTES_MAX + 1), BUF_INIT(HTTP_PEM_BYTES_MAX + 1) };
    int rc = http_tls_read(cert, key, pem, e);

    if (pem[1].p)
        OPENSSL_cleanse(pem[1].p, pem[1].len);
    buf_release(&pem[0]);
    buf_release(&pem[1]);
    return rc;
}
