#include "api/seal.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define NUMBERS_CHARS 32
#define MAC_BYTES 16

static_assert(NUMBERS_CHARS + 2 * MAC_BYTES + 1 == SEAL_TEXT_BYTES, "a seal's text");

/* The numbers' text, then the signature's; zero bytes keep the parts apart. */
int seal_write(struct store *s, const struct seal *seal, const int64_t number[2],
               char text[SEAL_TEXT_BYTES], struct error *e)
{
    unsigned char mac[STORE_MAC_BYTES];
    struct buf signed_text = BUF_INIT(SIZE_MAX);

    (void)snprintf(text, SEAL_TEXT_BYTES, "%016" PRIx64 "%016" PRIx64, (uint64_t)number[0],
                   (uint64_t)number[1]);
    buf_add(&signed_text, seal->purpose, strlen(seal->purpose) + 1);
    buf_add_str(&signed_text, seal->scope);
    buf_add_char(&signed_text, '\0');
    buf_add_c(&signed_text, text);
    int rc = store_mac(s, "seal", buf_str(&signed_text), mac, e);
    buf_release(&signed_text);
    if (rc == 0)
        str_hex(mac, MAC_BYTES, text + NUMBERS_CHARS);
    return rc;
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
