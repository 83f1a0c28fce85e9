#include "api/seal.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define NUMBERS_CHARS 32
#define MAC_BYTES 16

static_assert(NUMBERS_CHARS + 2 * MAC_BYTES + 1 == SEAL_TEXT_BYTES, "a seal's text");

/* The numbers' text, then the signature's; zero bytes keep the parts apart. */
int seal_write(struct store *s, const struct seal *seal, const int64_t number[2],
               char text[SEAL_TEXT_BYTES], struct error *e)
{
    unsigned char secret[STORE_SECRET_BYTES], mac[EVP_MAX_MD_SIZE];
    struct buf signed_text = BUF_INIT(SIZE_MAX);

    if (store_secret(s, "seal", secret, e) < 0)
        return -1;
    (void)snprintf(text, SEAL_TEXT_BYTES, "%016" PRIx64 "%016" PRIx64, (uint64_t)number[0],
                   (uint64_t)number[1]);
    buf_add(&signed_text, seal->purpose, strlen(seal->purpose) + 1);
    buf_add_str(&signed_text, seal->scope);
    buf_add_char(&signed_text, '\0');
    buf_add_c(&signed_text, text);
    const unsigned char *done =
        HMAC(EVP_sha256(), secret, (int)sizeof secret, (const unsigned char *)signed_text.p,
             signed_text.len, mac, NULL);
    OPENSSL_cleanse(secret, sizeof secret);
    buf_release(&signed_text);
    if (!done)
        return error_set(e, ERROR_INTERNAL, "HMAC-SHA256 is not available");
    for (size_t i = 0; i < MAC_BYTES; i++)
        (void)snprintf(text + NUMBERS_CHARS + 2 * i, 3, "%02x", mac[i]);
    return 0;
}

static bool number_read(struct str hex, int64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < hex.len; i++) {
        char c = hex.p[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f'))
            return false;
        n = n << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    if (n > INT64_MAX)
        return false;
    *out = (int64_t)n;
    return true;
}

bool seal_read(struct store *s, const struct seal *seal, struct str text, int64_t number[2])
{
    char expected[SEAL_TEXT_BYTES];
    struct error ignored = { 0 };

    if (text.len != SEAL_TEXT_BYTES - 1 || !number_read(str_sub(text, 0, 16), &number[0]) ||
        !number_read(str_sub(text, 16, 16), &number[1]))
        return false;
    return seal_write(s, seal, number, expected, &ignored) == 0 &&
           CRYPTO_memcmp(expected, text.p, text.len) == 0;
}
