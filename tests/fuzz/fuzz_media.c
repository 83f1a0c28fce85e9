/* Goal: whatever the first bytes of a file are, sniffing stays within them and says what is true of the format; and
 * whatever a part says of a video, the frames that are asked for are a span of time.
 * Method: the input is a file's head, a MIME type, an offset, and the text of a request. */
#include <assert.h>
#include <string.h>

#include "format/request/request.h"
#include "predict/media/ask.h"
#include "predict/media/limits.h"
#include "predict/media/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sniff(const uint8_t *data, size_t size)
{
    const struct str text = { (const char *)data, size };
    struct media_sniffed s;
    enum media_kind kind;

    media_sniff(data, size, &s);
    if (!s.format)
        return;
    assert(s.format->demuxer || s.format->why);
    assert(media_type_fits(s.format, STR("")) && !media_type_fits(s.format, STR("text/plain")));
    assert(media_kind_of_type(STR("video/mov; codecs=x"), &kind) && kind == MEDIA_KIND_VIDEO);
    (void)media_type_fits(s.format, text);
    (void)media_kind_of_type(text, &kind);
}

static void ask(struct str text)
{
    struct arena a = { 0 };
    struct input_line line = { 0 };
    struct violations bad = { 0 };
    const struct line_rules rules = { 0 };
    struct media_ask m = { .kind = MEDIA_KIND_VIDEO };
    struct violation why;
    int64_t at;

    if (media_offset_read(text, &at))
        assert(at >= 0);
    if (request_read_line(&a, text, &rules, &line, &bad) && line.request) {
        const struct request *r = line.request;
        for (uint32_t i = 0; i < r->content_count && i < 4; i++)
            for (uint32_t k = 0; k < r->content[i].part_count && k < 8; k++)
                if (media_ask_read(r, i, k, &m, &why))
                    assert(m.end_us > m.start_us && m.start_us >= 0 && m.fps > 0 &&
                           media_ask_pixels(&m));
        (void)media_limits_accept(media_limits_of("gemini-2.5-flash"), r, &why);
    }
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sniff(data, size);
    ask((struct str){ (const char *)data, size });
    return 0;
}
