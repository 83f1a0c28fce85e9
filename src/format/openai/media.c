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

    if (str_ends(m.type, STR("/*")))
        return m; /* any of a kind: nothing that a data URL could say */
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

/* "data:image/png;base64,..." */
static void add_data_url(struct json_writer *w, const char *key, struct str type, struct str base64)
{
    json_value(w, key);
    buf_add_c(w->out, "\"data:");
    buf_add_json_inside(w->out, type);
    buf_add_c(w->out, ";base64,");
    base64_add_standard(w->out, base64);
    buf_add_char(w->out, '"');
}

static struct str name_of(const struct part *p)
{
    struct str name = json_str(request_field(p->object, "displayName"));

    if (!name.len)
        name = str_after_last(p->uri, '/');
    return name.len ? name : DOCUMENT_NAME;
}

/* The part opens as {"type":NAME,NAME:{ and is closed by the caller. */
static void part_begin(struct json_writer *w, const char *name)
{
    json_object(w, NULL);
    json_add_c(w, "type", name);
    json_object(w, name);
}

int openai_media_add(struct json_writer *w, const struct part *p, const struct file_contents *files,
                     struct error *e)
{
    const struct file_content *file =
        p->kind == PART_FILE_DATA ? file_content_find(files, p->uri) : NULL;
    struct openai_mime m = openai_mime_of(p->mime);
    struct str base64 = file ? file->base64 : p->data;
    bool by_url = p->kind == PART_FILE_DATA && !file;

    if (by_url && (m.media != MEDIA_IMAGE || !openai_is_web(p->uri)))
        return error_set(e, ERROR_NOT_FOUND, "The content of the file %.*s is missing.",
                         STR_ARG(p->uri));
    switch (m.media) {
    case MEDIA_IMAGE:
        part_begin(w, "image_url");
        if (by_url)
            json_add_text(w, "url", p->uri);
        else
            add_data_url(w, "url", m.type, base64);
        break;
    case MEDIA_VIDEO:
        part_begin(w, "video_url");
        add_data_url(w, "url", m.type, base64);
        break;
    case MEDIA_AUDIO:
        part_begin(w, "input_audio");
        json_value(w, "data");
        buf_add_char(w->out, '"');
        base64_add_standard(w->out, base64);
        buf_add_char(w->out, '"');
        json_add_c(w, "format", m.format);
        break;
    case MEDIA_DOCUMENT:
        part_begin(w, "file");
        json_add_text(w, "filename", name_of(p));
        add_data_url(w, "file_data", m.type, base64);
        break;
    case MEDIA_NONE:
        return error_set(e, ERROR_INVALID_ARGUMENT, "The type %.*s cannot be sent.",
                         STR_ARG(m.type));
    }
    json_end(w);
    json_end(w);
    return 0;
}
