#include "predict/media/sniff.h"

#include <string.h>

#include "base/mem.h"

enum {
    FORMAT_JPEG,
    FORMAT_PNG,
    FORMAT_WEBP,
    FORMAT_GIF,
    FORMAT_HEIC,
    FORMAT_AVIF,
    FORMAT_MP4,
    FORMAT_WEBM,
    FORMAT_WAV,
    FORMAT_MP3,
    FORMAT_FLAC,
    FORMAT_OGG,
};

// clang-format off
static const struct media_format formats[] = {
    [FORMAT_JPEG] = { "JPEG", MEDIA_KIND_IMAGE, "jpeg_pipe", " image/jpeg image/jpg image/pjpeg ", NULL },
    [FORMAT_PNG]  = { "PNG",  MEDIA_KIND_IMAGE, "png_pipe",  " image/png image/apng ", NULL },
    [FORMAT_WEBP] = { "WebP", MEDIA_KIND_IMAGE, "webp_pipe", " image/webp ", NULL },
    [FORMAT_GIF]  = { "GIF",  MEDIA_KIND_IMAGE, "gif",       " image/gif ", NULL },
    [FORMAT_HEIC] = { "HEIC", MEDIA_KIND_IMAGE, NULL,
                      " image/heic image/heif image/heic-sequence image/heif-sequence ",
                      "HEIC images are not decoded here. Convert the image to JPEG, PNG or WebP." },
    [FORMAT_AVIF] = { "AVIF", MEDIA_KIND_IMAGE, NULL, " image/avif ",
                      "AVIF images are not decoded here. Convert the image to JPEG, PNG or WebP." },
    [FORMAT_MP4]  = { "MP4 or QuickTime", MEDIA_KIND_VIDEO, "mov",
                      " video/mp4 video/mov video/quicktime video/x-m4v video/m4v video/mpeg4 video/3gpp "
                      "video/3gpp2 audio/mp4 audio/m4a audio/x-m4a audio/aac ", NULL },
    [FORMAT_WEBM] = { "WebM or Matroska", MEDIA_KIND_VIDEO, "matroska,webm",
                      " video/webm audio/webm video/x-matroska audio/x-matroska ", NULL },
    [FORMAT_WAV]  = { "WAV", MEDIA_KIND_AUDIO, "wav",
                      " audio/wav audio/x-wav audio/wave audio/vnd.wave ", NULL },
    [FORMAT_MP3]  = { "MP3", MEDIA_KIND_AUDIO, "mp3", " audio/mp3 audio/mpeg audio/mpeg3 audio/x-mp3 audio/mpga ", NULL },
    [FORMAT_FLAC] = { "FLAC", MEDIA_KIND_AUDIO, "flac", " audio/flac audio/x-flac ", NULL },
    [FORMAT_OGG]  = { "Ogg", MEDIA_KIND_AUDIO, "ogg",
                      " audio/ogg audio/opus audio/vorbis audio/x-ogg application/ogg ", NULL },
};
// clang-format on

struct head {
    const unsigned char *p;
    size_t len;
};

static bool has(struct head h, size_t at, const char *bytes, size_t len)
{
    return at <= h.len && len <= h.len - at && memcmp(h.p + at, bytes, len) == 0;
}
#define HAS(h, at, literal) has(h, at, literal, sizeof(literal) - 1)

static uint32_t big(struct head h, size_t at, unsigned bytes)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | (at + i < h.len ? h.p[at + i] : 0);
    return n;
}

static uint32_t little(struct head h, size_t at, unsigned bytes)
{
    uint32_t n = 0;

    for (unsigned i = bytes; i-- > 0;)
        n = n << 8 | (at + i < h.len ? h.p[at + i] : 0);
    return n;
}

/* ---- The size of an image ---- */

/* Segments are "FF, marker, length"; the start of a frame has the size. */
static void jpeg_size(struct head h, struct media_sniffed *out)
{
    size_t at = 2;

    while (at + 9 < h.len) {
        if (h.p[at] != 0xFF)
            return;
        unsigned marker = h.p[at + 1];
        if (marker == 0xFF) { /* a byte of padding */
            at++;
            continue;
        }
        if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 &&
            marker != 0xCC) {
            out->height = big(h, at + 5, 2);
            out->width = big(h, at + 7, 2);
            return;
        }
        if (marker == 0xDA || marker == 0xD9)
            return;
        at += 2 + (size_t)big(h, at + 2, 2);
    }
}

static void webp_size(struct head h, struct media_sniffed *out)
{
    if (HAS(h, 12, "VP8X")) {
        out->width = little(h, 24, 3) + 1;
        out->height = little(h, 27, 3) + 1;
    } else if (HAS(h, 12, "VP8L")) {
        uint32_t bits = little(h, 21, 4);
        out->width = (bits & 0x3FFF) + 1;
        out->height = (bits >> 14 & 0x3FFF) + 1;
    } else if (HAS(h, 12, "VP8 ")) {
        out->width = little(h, 26, 2) & 0x3FFF;
        out->height = little(h, 28, 2) & 0x3FFF;
    }
}

/* ---- The format ---- */

/* The brands of an ftyp box: those of HEIF say what is inside. */
static int iso_format(struct head h)
{
    static const char *const heic[] = { "heic", "heix", "heim", "heis",
                                        "hevc", "hevx", "mif1", "msf1" };
    size_t end = big(h, 0, 4);

    if (HAS(h, 8, "avif") || HAS(h, 8, "avis"))
        return FORMAT_AVIF;
    for (size_t at = 8; at + 4 <= h.len && at + 4 <= end && at < 128; at += at == 8 ? 8 : 4) {
        if (has(h, at, "avif", 4))
            return FORMAT_AVIF;
        for (size_t i = 0; at == 8 && i < ARRAY_LEN(heic); i++)
            if (has(h, at, heic[i], 4))
                return HAS(h, 16, "avif") || HAS(h, 20, "avif") ? FORMAT_AVIF : FORMAT_HEIC;
    }
    return FORMAT_MP4;
}

static bool is_iso(struct head h)
{
    static const char *const boxes[] = { "ftyp", "moov", "mdat", "free", "skip", "wide", "pnot" };

    for (size_t i = 0; i < ARRAY_LEN(boxes); i++)
        if (has(h, 4, boxes[i], 4))
            return true;
    return false;
}

/* A frame of MPEG audio, layer III, with a bit rate and a sampling rate that exist. */
static bool is_mp3(struct head h)
{
    uint32_t header = big(h, 0, 4);

    if (HAS(h, 0, "ID3"))
        return true;
    return header >> 21 == 0x7FF && (header >> 17 & 3) == 1 && (header >> 19 & 3) != 1 &&
           (header >> 12 & 15) != 15 && (header >> 10 & 3) != 3;
}

static int format_of(struct head h)
{
    if (HAS(h, 0, "\xFF\xD8\xFF"))
        return FORMAT_JPEG;
    if (HAS(h, 0, "\x89PNG\r\n\x1A\n"))
        return FORMAT_PNG;
    if (HAS(h, 0, "GIF87a") || HAS(h, 0, "GIF89a"))
        return FORMAT_GIF;
    if (HAS(h, 0, "RIFF") && HAS(h, 8, "WEBP"))
        return FORMAT_WEBP;
    if ((HAS(h, 0, "RIFF") || HAS(h, 0, "RF64")) && HAS(h, 8, "WAVE"))
        return FORMAT_WAV;
    if (HAS(h, 0, "\x1A\x45\xDF\xA3"))
        return FORMAT_WEBM;
    if (HAS(h, 0, "fLaC"))
        return FORMAT_FLAC;
    if (HAS(h, 0, "OggS"))
        return FORMAT_OGG;
    if (is_iso(h))
        return iso_format(h);
    return is_mp3(h) ? FORMAT_MP3 : -1;
}

void media_sniff(const void *head, size_t bytes, struct media_sniffed *out)
{
    struct head h = { head, bytes };
    int format = bytes >= 4 ? format_of(h) : -1;

    *out = (struct media_sniffed){ 0 };
    if (format < 0)
        return;
    out->format = &formats[format];
    if (format == FORMAT_JPEG)
        jpeg_size(h, out);
    if (format == FORMAT_WEBP)
        webp_size(h, out);
    if (format == FORMAT_PNG && HAS(h, 12, "IHDR")) {
        out->width = big(h, 16, 4);
        out->height = big(h, 20, 4);
    }
    if (format == FORMAT_GIF) {
        out->width = little(h, 6, 2);
        out->height = little(h, 8, 2);
    }
}

/* ---- MIME types ---- */

#define TYPE_BYTES 64

/* The type in lower case, without parameters; empty when it is longer than any that is known. */
static struct str plain_type(struct str type, char text[TYPE_BYTES])
{
    struct str t = str_trim(str_sub(type, 0, str_find(type, STR(";"))));

    if (t.len + 3 > TYPE_BYTES)
        return (struct str){ text, 0 };
    for (size_t i = 0; i < t.len; i++)
        text[i] = (char)(t.p[i] >= 'A' && t.p[i] <= 'Z' ? t.p[i] - 'A' + 'a' : t.p[i]);
    return (struct str){ text, t.len };
}

static const struct {
    const char *prefix;
    enum media_kind kind;
} kinds[] = { { "image/", MEDIA_KIND_IMAGE },
              { "video/", MEDIA_KIND_VIDEO },
              { "audio/", MEDIA_KIND_AUDIO } };

bool media_kind_of_type(struct str type, enum media_kind *out)
{
    char text[TYPE_BYTES];
    struct str t = plain_type(type, text);

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_starts(t, str_of(kinds[i].prefix))) {
            *out = kinds[i].kind;
            return true;
        }
    return false;
}

bool media_type_fits(const struct media_format *f, struct str type)
{
    char text[TYPE_BYTES], padded[TYPE_BYTES + 2];
    struct str t = plain_type(type, text);
    enum media_kind kind;

    if (!type.len || str_eq_c(t, "*/*") || str_eq_c(t, "application/octet-stream"))
        return true;
    if (!t.len)
        return false;
    if (str_ends(t, STR("/*")))
        return media_kind_of_type(t, &kind) &&
               (kind == f->kind || (kind == MEDIA_KIND_AUDIO && f->kind == MEDIA_KIND_VIDEO));
    padded[0] = ' ';
    memcpy(padded + 1, t.p, t.len);
    padded[t.len + 1] = ' ';
    return str_find(str_of(f->types), (struct str){ padded, t.len + 2 }) != SIZE_MAX;
}

const char *media_kind_name(enum media_kind kind)
{
    static const char *const names[] = { "image", "video", "sound" };

    return names[kind];
}
