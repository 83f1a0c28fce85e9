/* media.c -- images, audio, video and documents as parts of a message's content. */
#include "format/openai/openai_inner.h"

#include <string.h>

#include "base/mem.h"
#include "base/base64.h"

// clang-format off
static const struct {
    const char *type; /* one that ends in a slash: all that begin so */
    enum openai_media media;
    const char *format;
} mimes[] = {
    { "image/",          MEDIA_IMAGE,    NULL  },
    { "video/",          MEDIA_VIDEO,    NULL  },
    { "application/pdf", MEDIA_DOCUMENT, NULL  },
    { "audio/wav",       MEDIA_AUDIO,    "wav" },
    { "audio/x-wav",     MEDIA_AUDIO,    "wav" },
    { "audio/wave",      MEDIA_AUDIO,    "wav" },
    { "audio/vnd.wave",  MEDIA_AUDIO,    "wav" },
    { "audio/mp3",       MEDIA_AUDIO,    "mp3" },
    { "audio/mpeg",      MEDIA_AUDIO,    "mp3" },
};
// clang-format on

#define DOCUMENT_NAME STR("document.pdf") /* when nothing names it */

struct openai_mime openai_mime_of(struct str written)
{
    struct openai_mime m = { .type = str_trim(str_sub(written, 0, str_find(written, STR(";")))) };

    for (size_t i = 0; i < ARRAY_LEN(mimes); i++) {
        size_t len = strlen(mimes[i].type);
        bool prefix = mimes[i].type[len - 1] == '/' && m.type.len > len;
        if (!lower_equal(prefix ? str_sub(m.type, 0, len) : m.type, mimes[i].type))
            continue;
        m.media = mimes[i].media;
        m.format = mimes[i].format;
        break;
    }
    return m;
}

bool openai_is_web(struct str uri)
{
    return str_starts(uri, STR("https://")) || str_starts(uri, STR("http://"));
}

static bool file_find(const struct openai_files *files, struct str uri, struct str *base64)
{
    for (uint32_t i = 0; files && i < files->count; i++) {
        if (!str_eq(files->item[i].uri, uri))
            continue;
        *base64 = files->item[i].base64;
        return true;
    }
    return false;
}

/* "data:image/png;base64,..." */
static void add_data_url(struct buf *out, struct str type, struct str base64)
{
    ADD(out, "\"data:");
    buf_add_json_inside(out, type);
    ADD(out, ";base64,");
    base64_add_standard(out, base64);
    buf_add_char(out, '"');
}

static struct str name_of(const struct part *p)
{
    struct str name = json_str(request_field(p->object, "displayName"));
    size_t at = p->uri.len;

    if (name.len)
        return name;
    while (at > 0 && p->uri.p[at - 1] != '/')
        at--;
    name = str_sub(p->uri, at, p->uri.len);
    return name.len ? name : DOCUMENT_NAME;
}

static void add_document(struct buf *out, const struct part *p, struct str type, struct str base64)
{
    ADD(out, "{\"type\":\"file\",\"file\":{\"filename\":");
    buf_add_json(out, name_of(p));
    ADD(out, ",\"file_data\":");
    add_data_url(out, type, base64);
    ADD(out, "}}");
}

static void add_audio(struct buf *out, const char *format, struct str base64)
{
    ADD(out, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"");
    base64_add_standard(out, base64);
    ADD(out, "\",\"format\":\"");
    buf_add_c(out, format);
    ADD(out, "\"}}");
}

int openai_media_write(const struct part *p, const struct openai_files *files, struct buf *out,
                       struct error *e)
{
    struct openai_mime m = openai_mime_of(p->mime);
    struct str base64 = p->data;
    bool by_url = p->kind == PART_FILE_DATA && !file_find(files, p->uri, &base64);

    if (by_url && (m.media != MEDIA_IMAGE || !openai_is_web(p->uri)))
        return error_set(e, ERROR_NOT_FOUND, "The file %.*s is not at hand.", STR_ARG(p->uri));
    switch (m.media) {
    case MEDIA_IMAGE:
        ADD(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
        if (by_url)
            buf_add_json(out, p->uri);
        else
            add_data_url(out, m.type, base64);
        ADD(out, "}}");
        return 0;
    case MEDIA_VIDEO:
        ADD(out, "{\"type\":\"video_url\",\"video_url\":{\"url\":");
        add_data_url(out, m.type, base64);
        ADD(out, "}}");
        return 0;
    case MEDIA_AUDIO:
        add_audio(out, m.format, base64);
        return 0;
    case MEDIA_DOCUMENT:
        add_document(out, p, m.type, base64);
        return 0;
    case MEDIA_NONE:
        break;
    }
    return error_set(e, ERROR_INVALID_ARGUMENT, "The type %.*s cannot be sent.", STR_ARG(m.type));
}
