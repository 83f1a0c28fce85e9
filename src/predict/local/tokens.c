#include "predict/local/tokens.h"

#include <string.h>

#include "base/mem.h"
#include "format/response.h"

#define TOKENS_CAP_MIN 64
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* ---- Lists ---- */

int32_t *tokens_reserve(struct tokens *t, uint32_t more)
{
    size_t need, bytes;

    if (!size_add(t->count, more, &need) || need > INT32_MAX || !size_mul(need, 8, &bytes))
        need = SIZE_MAX / sizeof *t->item; /* mem_grow then says that there is no memory */
    if (need > t->cap) {
        size_t cap = need < TOKENS_CAP_MIN ? TOKENS_CAP_MIN : need + need / 2;
        t->item = mem_grow(t->item, cap * sizeof *t->item);
        t->cap = (uint32_t)cap;
    }
    return t->item + t->count;
}

void tokens_add(struct tokens *t, int32_t token)
{
    *tokens_reserve(t, 1) = token;
    t->count++;
}

void tokens_append(struct tokens *t, const int32_t *token, uint32_t count)
{
    if (!count)
        return;
    memcpy(tokens_reserve(t, count), token, count * sizeof *token);
    t->count += count;
}

void tokens_release(struct tokens *t)
{
    mem_free(t->item);
    *t = (struct tokens){ 0 };
}

uint32_t tokens_common(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count)
{
    uint32_t count = a_count < b_count ? a_count : b_count;
    uint32_t i = 0;

    while (i < count && a[i] == b[i])
        i++;
    return i;
}

/* ---- The text of an answer ---- */

void answer_text_init(struct answer_text *t, const struct str *stop, uint32_t stop_count)
{
    *t = (struct answer_text){
        .bytes = BUF_INIT(RESPONSE_BYTES_MAX),
        .stop = stop,
        .stop_count = stop_count,
    };
}

void answer_text_release(struct answer_text *t)
{
    buf_release(&t->bytes);
}

bool answer_text_stopped(struct answer_text *t)
{
    struct str fresh = str_sub(buf_str(&t->bytes), t->checked, SIZE_MAX);
    size_t at = SIZE_MAX, longest = 1;

    for (uint32_t i = 0; i < t->stop_count; i++) {
        if (!t->stop[i].len)
            continue;
        size_t found = str_find(fresh, t->stop[i]);
        at = found < at ? found : at;
        longest = t->stop[i].len > longest ? t->stop[i].len : longest;
    }
    if (at != SIZE_MAX) {
        t->bytes.len = t->checked + at;
        return true;
    }
    /* The last longest - 1 bytes may be the beginning of one. */
    if (fresh.len >= longest)
        t->checked += fresh.len - (longest - 1);
    return false;
}

/* Bytes of a character that begins with this byte; 0: none begins with it. */
static size_t char_bytes(unsigned char lead)
{
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* True when s is the beginning of one character that more bytes could complete. */
static bool is_incomplete(struct str s)
{
    size_t need = char_bytes((unsigned char)s.p[0]);

    if (s.len >= need)
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            return false;
    return true;
}

void answer_text_finish(const struct answer_text *t, struct buf *out)
{
    struct str rest = buf_str(&t->bytes);

    while (rest.len) {
        size_t valid = str_utf8_valid(rest);
        buf_add_str(out, str_sub(rest, 0, valid));
        rest = str_sub(rest, valid, SIZE_MAX);
        if (!rest.len || is_incomplete(rest))
            return;
        buf_add_c(out, REPLACEMENT);
        rest = str_sub(rest, 1, SIZE_MAX);
    }
}
