/* net.c -- functions on addresses of the internet: hosts of URLs, IPv4 and IPv6. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "store/tables/duckdb/functions/call.h"

/* ---- Hosts ---- */

/* The host of "scheme://user@host:port/path", "//host", "host/path" and "mailto:?"-like texts without one. */
static struct str host_of(struct str url)
{
    struct str s = str_trim(url);
    size_t at = str_find(s, STR("//")), end = 0;

    if (at != SIZE_MAX && (at == 0 || s.p[at - 1] == ':'))
        s = str_sub(s, at + 2, s.len);
    while (end < s.len && !strchr("/?#\\", s.p[end]))
        end++;
    s = str_sub(s, 0, end);
    for (size_t i = s.len; i > 0; i--)
        if (s.p[i - 1] == '@') {
            s = str_sub(s, i, s.len);
            break;
        }
    if (s.len && s.p[0] == '[') {
        size_t close = str_find(s, STR("]"));
        return close == SIZE_MAX ? (struct str){ 0 } : str_sub(s, 0, close + 1);
    }
    size_t colon = str_find(s, STR(":"));
    if (colon != SIZE_MAX)
        s = str_sub(s, 0, colon);
    while (s.len && s.p[0] == '.')
        s = str_sub(s, 1, s.len);
    while (s.len && s.p[s.len - 1] == '.')
        s.len--;
    return str_trim(s);
}

static enum call_outcome host(struct call *c)
{
    struct str h = host_of(arg_text(c, 0));

    for (size_t i = 0; i < h.len; i++)
        if ((unsigned char)h.p[i] <= ' ')
            return CALL_NULL;
    return h.len ? out_text(c, h) : CALL_NULL;
}

/* ---- Addresses ---- */

static bool address_read(struct str s, unsigned char out[16], size_t *bytes)
{
    char text[INET6_ADDRSTRLEN + 1];

    if (s.len >= sizeof text || (s.len && memchr(s.p, '\0', s.len)))
        return false;
    memcpy(text, s.p ? s.p : "", s.len);
    text[s.len] = '\0';
    *bytes = strchr(text, ':') ? 16 : 4;
    return inet_pton(*bytes == 16 ? AF_INET6 : AF_INET, text, out) == 1;
}

static enum call_outcome ip_from_string(struct call *c)
{
    unsigned char address[16];
    size_t bytes;

    if (!address_read(arg_text(c, 0), address, &bytes))
        return call_refuse(c, "Invalid input to NET.IP_FROM_STRING: \"%.*s\"",
                           STR_ARG(str_cut(arg_text(c, 0), 100)));
    return out_text(c, (struct str){ (const char *)address, bytes });
}

static enum call_outcome ip_to_string(struct call *c)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct str s = arg_text(c, 0);

    if (s.len != 4 && s.len != 16)
        return call_refuse(c, "Invalid input to NET.IP_TO_STRING: %zu bytes; 4 or 16 are expected",
                           s.len);
    if (!inet_ntop(s.len == 16 ? AF_INET6 : AF_INET, s.p, text, sizeof text))
        return call_refuse(c, "Invalid input to NET.IP_TO_STRING");
    return out_text(c, str_of(text));
}

/* Bit i of an address belongs to the first `length` bits. */
static unsigned char mask_byte(int64_t length, size_t byte)
{
    int64_t bits = length - (int64_t)byte * 8;

    return (unsigned char)(bits <= 0 ? 0 : bits >= 8 ? 0xFF : 0xFF << (8 - bits));
}

static enum call_outcome ip_net_mask(struct call *c)
{
    int64_t bytes = arg_int(c, 0), length = arg_int(c, 1);

    if ((bytes != 4 && bytes != 16) || length < 0 || length > bytes * 8)
        return call_refuse(c, "Invalid input to NET.IP_NET_MASK");
    for (size_t i = 0; i < (size_t)bytes; i++)
        buf_add_char(&c->text, (char)mask_byte(length, i));
    return out_buffer(c);
}

static enum call_outcome ip_trunc(struct call *c)
{
    struct str s = arg_text(c, 0);
    int64_t length = arg_int(c, 1);

    if ((s.len != 4 && s.len != 16) || length < 0 || length > (int64_t)s.len * 8)
        return call_refuse(c, "Invalid input to NET.IP_TRUNC");
    for (size_t i = 0; i < s.len; i++)
        buf_add_char(&c->text, (char)((unsigned char)s.p[i] & mask_byte(length, i)));
    return out_buffer(c);
}

static enum call_outcome ipv4_from_int64(struct call *c)
{
    int64_t v = arg_int(c, 0);

    if (v < -INT64_C(0x80000000) || v > INT64_C(0xFFFFFFFF))
        return call_refuse(c, "Invalid input to NET.IPV4_FROM_INT64: %lld", (long long)v);
    for (int i = 24; i >= 0; i -= 8)
        buf_add_char(&c->text, (char)((uint64_t)v >> i & 0xFF));
    return out_buffer(c);
}

static enum call_outcome ipv4_to_int64(struct call *c)
{
    struct str s = arg_text(c, 0);
    int64_t v = 0;

    if (s.len != 4)
        return call_refuse(c, "Invalid input to NET.IPV4_TO_INT64: %zu bytes; 4 are expected",
                           s.len);
    for (size_t i = 0; i < 4; i++)
        v = v << 8 | (unsigned char)s.p[i];
    return out_int(c, v);
}

static const struct function rows[] = {
    { "net_host", "S:S", host, 0 },
    { "net_ip_from_string", "S:Y", ip_from_string, 0 },
    { "net_ip_to_string", "Y:S", ip_to_string, 0 },
    { "net_ip_net_mask", "II:Y", ip_net_mask, 0 },
    { "net_ip_trunc", "YI:Y", ip_trunc, 0 },
    { "net_ipv4_from_int64", "I:Y", ipv4_from_int64, 0 },
    { "net_ipv4_to_int64", "Y:I", ipv4_to_int64, 0 },
};
const struct function_table functions_net = FUNCTION_TABLE(rows);
