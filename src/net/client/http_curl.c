#include "net/client/http_curl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/address.h"
#include "net/client/http_client.h"

/* The length of a URL that may be shown: neither its parameters nor a password. */
static int shown(const char *url)
{
    return strchr(url, '@') ? 0 : (int)strcspn(url, "?");
}

int http_curl_authority(const char *url, char out[HTTP_AUTHORITY_BYTES], struct error *e)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    int rc = -1;

    if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "\"%.*s\" is not an http or https URL",
                        shown(url), url);
    else
        rc = snprintf(out, HTTP_AUTHORITY_BYTES, "%s:%s", host, port);
    if (rc >= HTTP_AUTHORITY_BYTES)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "the URL's host name is too long");
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return rc < 0 ? -1 : 0;
}

bool http_curl_this_machine(const char *authority)
{
    static const char *const hosts[] = { "localhost:", "127.", "[::1]:" };

    for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
        if (strncasecmp(authority, hosts[i], strlen(hosts[i])) == 0)
            return true;
    return false;
}

/* ---- The guard ---- */

bool http_curl_listed(const char *const *list, const char *authority)
{
    for (const char *const *a = list; a && *a; a++)
        if (strcasecmp(*a, authority) == 0)
            return true;
    return false;
}

static bool address_text(const struct sockaddr *a, char out[INET6_ADDRSTRLEN])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (a->sa_family == AF_INET) {
        memcpy(&v4, a, sizeof v4);
        return inet_ntop(AF_INET, &v4.sin_addr, out, INET6_ADDRSTRLEN);
    }
    if (a->sa_family != AF_INET6)
        return false;
    memcpy(&v6, a, sizeof v6);
    return inet_ntop(AF_INET6, &v6.sin6_addr, out, INET6_ADDRSTRLEN);
}

bool http_curl_public(const struct curl_sockaddr *a, char out[INET6_ADDRSTRLEN])
{
    (void)snprintf(out, INET6_ADDRSTRLEN, "an unknown address");
    return address_text(&a->addr, out) && !net_address_private(out);
}

int http_curl_refused(const char *authority, const char *address, struct error *e)
{
    return error_set(e, ERROR_PERMISSION_DENIED,
                     "%s is at %s, which is not a public address: it may not be called", authority,
                     address);
}

#define LINE_BYTES_MAX 1024 /* of http_curl_add_lines */

/* ---- Before ---- */

static int add_line(struct curl_slist **list, const char *line, struct error *e)
{
    if (line[strcspn(line, "\r\n")] != '\0')
        return error_set(e, ERROR_INVALID_ARGUMENT, "a header may not have a line break");
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer)
        return error_set(e, ERROR_INTERNAL, "no memory for headers");
    *list = longer;
    return 0;
}

static bool is_content_type(const char *line)
{
    return strncasecmp(line, "content-type:", 13) == 0;
}

/* libcurl's own Expect costs a round trip, and its Content-Type is that of a form: an empty header removes
 * them; the caller's own Content-Type stays. */
int http_curl_headers(const char *const *header, const char *one_more, struct curl_slist **out,
                      struct error *e)
{
    bool typed = one_more && is_content_type(one_more);

    *out = NULL;
    if (add_line(out, "Expect:", e) < 0)
        return -1;
    for (const char *const *h = header; h && *h; h++) {
        typed = typed || is_content_type(*h);
        if (add_line(out, *h, e) < 0)
            return -1;
    }
    if (one_more && add_line(out, one_more, e) < 0)
        return -1;
    return typed ? 0 : add_line(out, "Content-Type:", e);
}

int http_curl_add_lines(struct curl_slist **list, const char *lines, struct error *e)
{
    char line[LINE_BYTES_MAX];

    for (size_t len; lines && *lines; lines += len + (lines[len] == '\n')) {
        len = strcspn(lines, "\n");
        if (len >= sizeof line)
            return error_set(e, ERROR_INVALID_ARGUMENT, "a header is too long");
        memcpy(line, lines, len);
        line[len] = '\0';
        if (add_line(list, line, e) < 0)
            return -1;
    }
    return 0;
}

void http_curl_defaults(CURL *c)
{
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver's thread */
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "tranche/" TRANCHE_VERSION);
}

bool http_curl_has_body(const char *method, struct str body)
{
    static const char *const methods[] = { "POST", "PUT", "PATCH" };

    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (strcmp(method, methods[i]) == 0)
            return true;
    return body.len && strcmp(method, "HEAD") != 0;
}

void http_curl_body(CURL *c, struct str body)
{
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.len ? body.p : "");
}

void http_curl_method(CURL *c, const char *method, struct str body)
{
    if (strcmp(method, "HEAD") == 0) {
        (void)curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
        return;
    }
    if (http_curl_has_body(method, body))
        http_curl_body(c, body);
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
}

/* ---- While it runs ---- */

static void add_lower(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        buf_add_char(out, c);
    }
}

bool http_curl_head_line(struct buf *headers, struct str line)
{
    size_t colon;

    line = str_trim(line);
    if (str_starts(line, STR("HTTP/"))) {
        buf_clear(headers); /* of several heads (100 Continue, redirects) the last is kept */
        return true;
    }
    colon = str_find(line, STR(":"));
    if (colon == SIZE_MAX)
        return true;
    add_lower(headers, str_sub(line, 0, colon));
    buf_add_str(headers, STR(": "));
    buf_add_str(headers, str_trim(str_sub(line, colon + 1, line.len)));
    buf_add_char(headers, '\n');
    return buf_ok(headers);
}

bool http_curl_head_ends(CURL *c, struct str line)
{
    long status = 0;

    if (str_trim(line).len)
        return false;
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200;
}

struct str http_curl_header(struct str headers, const char *name)
{
    struct str wanted = str_of(name);

    while (headers.len) {
        struct str line = str_sub(headers, 0, str_find(headers, STR("\n")));
        size_t colon = str_find(line, STR(":"));
        if (colon != SIZE_MAX && str_eq(str_sub(line, 0, colon), wanted))
            return str_trim(str_sub(line, colon + 1, line.len));
        headers = str_sub(headers, line.len + 1, headers.len);
    }
    return (struct str){ 0 };
}

/* ---- After ---- */

/* Any other code is UNAVAILABLE, in libcurl's words. */
static const struct cause {
    CURLcode curl;
    enum error_code code;
    const char *words; /* NULL: the library's */
} causes[] = {
    { CURLE_OPERATION_TIMEDOUT, ERROR_DEADLINE_EXCEEDED, NULL },
    { CURLE_ABORTED_BY_CALLBACK, ERROR_CANCELLED, NULL },
    { CURLE_URL_MALFORMAT, ERROR_INVALID_ARGUMENT, NULL },
    { CURLE_UNSUPPORTED_PROTOCOL, ERROR_INVALID_ARGUMENT, NULL },
    { CURLE_TOO_MANY_REDIRECTS, ERROR_FAILED_PRECONDITION, NULL },
    { CURLE_PEER_FAILED_VERIFICATION, ERROR_FAILED_PRECONDITION, NULL },
    { CURLE_SSL_CACERT_BADFILE, ERROR_FAILED_PRECONDITION, NULL },
    { CURLE_OUT_OF_MEMORY, ERROR_INTERNAL, NULL },
    { CURLE_COULDNT_RESOLVE_HOST, ERROR_UNAVAILABLE, "the name does not resolve" },
    { CURLE_GOT_NOTHING, ERROR_UNAVAILABLE, "the connection was closed without an answer" },
    { CURLE_PARTIAL_FILE, ERROR_UNAVAILABLE, "the answer was cut short" },
    { CURLE_WEIRD_SERVER_REPLY, ERROR_UNAVAILABLE, "the answer is not HTTP" },
};
/* The system's error code is the plainest cause. */
static const struct {
    int err;
    const char *words;
} errnos[] = {
    { ECONNREFUSED, "connection refused" },
    { ECONNRESET, "connection reset" },
    { EPIPE, "connection reset" },
    { EHOSTUNREACH, "no route to the host" },
    { ENETUNREACH, "the network is unreachable" },
};

/* NULL when the connection was one to a proxy: then libcurl's text names the proxy. */
static const char *words_of_errno(CURL *c, const char *authority, const char *text)
{
    char host[HTTP_AUTHORITY_BYTES];
    long err = 0;

    (void)snprintf(host, sizeof host, "%.*s", (int)(strrchr(authority, ':') - authority),
                   authority);
    if (strncmp(text, "Failed to connect", 17) == 0 && !strstr(text, host))
        return NULL;
    (void)curl_easy_getinfo(c, CURLINFO_OS_ERRNO, &err);
    for (size_t i = 0; i < ARRAY_LEN(errnos); i++)
        if (errnos[i].err == err)
            return errnos[i].words;
    return NULL;
}

static bool is_of_socket(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR;
}

/* Two codes mean something else when the request was sent and no head of an answer has come. */
static bool answer_is_odd(CURL *c, CURLcode code, struct cause *out)
{
    long sent = 0, status = 0;

    (void)curl_easy_getinfo(c, CURLINFO_REQUEST_SIZE, &sent);
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (sent && !status && code == CURLE_UNSUPPORTED_PROTOCOL)
        *out = (struct cause){ code, ERROR_UNAVAILABLE, "the answer is not HTTP" };
    else if (sent && code == CURLE_OUT_OF_MEMORY)
        *out = (struct cause){ code, ERROR_RESOURCE_EXHAUSTED,
                               "the answer's head has a line that is too long" };
    else
        return false;
    return true;
}

int http_curl_fail(CURL *c, CURLcode code, const char *authority, const char *text, struct error *e)
{
    struct cause cause = { code, ERROR_UNAVAILABLE, NULL };

    if (!answer_is_odd(c, code, &cause))
        for (size_t i = 0; i < ARRAY_LEN(causes); i++)
            if (causes[i].curl == code)
                cause = causes[i];
    if (is_of_socket(code))
        cause.words = words_of_errno(c, authority, text);
    if (strstr(text, "wrong version number")) /* OpenSSL's way to say it */
        cause.words = "the server does not speak TLS";
    if (!cause.words)
        cause.words = text[0] ? text : curl_easy_strerror(code);
    return error_set(e, cause.code, "%s: %s", authority, cause.words);
}
