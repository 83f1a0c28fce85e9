#include "predict/media/decode.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "predict/media/limits.h"

#define READ_BYTES 65536
#define US_PER_S INT64_C(1000000)
#define SEEK_FROM_US (10 * US_PER_S) /* an earlier start is reached by decoding */
#define FRAMES_DECODED_MAX 1000000   /* of one video: 4 hours at 60 frames/s */

struct decoding {
    const struct libav *av;
    const struct media_order *order;
    const struct media_sink *sink;
    int fd;
    int64_t at;          /* in the file */
    uint64_t cpu_end_ns; /* of this thread, the only one */
    bool late;           /* the processor time is used up */
    bool drained;        /* no packet follows, and the decoder knows */
    AVFormatContext *format;
    AVIOContext *io;
    AVCodecContext *codec;
    AVStream *stream;
    struct SwsContext *sws;
    unsigned char *rgba, *rgb; /* the scratch of one piece */
    struct error *e;
};

/* ---- Errors and time ---- */

static bool is_late(struct decoding *d)
{
    d->late = d->late || clock_thread_ns() > d->cpu_end_ns;
    return d->late;
}

/* The reason in libav's words. */
static int fail(struct decoding *d, const char *what, int code)
{
    char text[128] = "";

    if (is_late(d))
        return error_set(d->e, ERROR_INVALID_ARGUMENT,
                         "Decoding it takes more than %u s of processor time.", MEDIA_CPU_S_MAX);
    if (code == AVERROR_EOF || code == 0)
        return error_set(d->e, ERROR_INVALID_ARGUMENT, "The %s is damaged or cut off: %s.",
                         media_kind_name(d->order->ask.kind), what);
    (void)d->av->av_strerror(code, text, sizeof text);
    return error_set(d->e, ERROR_INVALID_ARGUMENT, "The %s is damaged: %s: %s.",
                     media_kind_name(d->order->ask.kind), what, text);
}

/* ---- Reading ---- */

static int on_read(void *arg, uint8_t *out, int size)
{
    struct decoding *d = arg;

    if (is_late(d))
        return AVERROR_EXIT;
    ssize_t n = pread(d->fd, out, (size_t)size, d->at);
    if (n < 0)
        return AVERROR(errno);
    d->at += n;
    return n == 0 ? AVERROR_EOF : (int)n;
}

static int64_t on_seek(void *arg, int64_t offset, int whence)
{
    struct decoding *d = arg;
    int64_t size = lseek(d->fd, 0, SEEK_END);

    if (whence & AVSEEK_SIZE)
        return size;
    if ((whence & ~AVSEEK_FORCE) == SEEK_CUR)
        offset += d->at;
    else if ((whence & ~AVSEEK_FORCE) == SEEK_END)
        offset += size;
    if (offset < 0)
        return AVERROR(EINVAL);
    d->at = offset;
    return offset;
}

static int on_interrupt(void *arg)
{
    return is_late(arg);
}

/* No file names another one. */
static int refuse_open(AVFormatContext *s, AVIOContext **io, const char *url, int flags,
                       AVDictionary **options)
{
    (void)s, (void)url, (void)flags, (void)options;
    *io = NULL;
    return AVERROR(EPERM);
}

/* ---- Opening ---- */

static int open_format(struct decoding *d)
{
    const struct libav *av = d->av;
    const AVInputFormat *demuxer = av->av_find_input_format(d->order->demuxer);
    unsigned char *buffer = av->av_malloc(READ_BYTES);

    if (!demuxer || !buffer)
        return error_set(d->e, ERROR_FAILED_PRECONDITION,
                         "ffmpeg's libraries have no demuxer %s here.", d->order->demuxer);
    d->io = av->avio_alloc_context(buffer, READ_BYTES, 0, d, on_read, NULL, on_seek);
    d->format = av->avformat_alloc_context();
    d->format->pb = d->io;
    d->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    d->format->io_open = refuse_open;
    d->format->interrupt_callback = (AVIOInterruptCB){ on_interrupt, d };
    d->format->max_streams = 64;
    int rc = av->avformat_open_input(&d->format, "", demuxer, NULL); /* frees format on failure */
    return rc < 0 ? fail(d, "its header cannot be read", rc) : 0;
}

static int check_size(struct decoding *d, int width, int height)
{
    uint64_t most =
        d->order->ask.kind == MEDIA_KIND_IMAGE ? MEDIA_PIXELS_MAX : MEDIA_FRAME_PIXELS_MAX;

    if (width <= 0 || height <= 0)
        return fail(d, "it has no pixels", 0);
    if (width <= (int)MEDIA_SIDE_MAX && height <= (int)MEDIA_SIDE_MAX &&
        (uint64_t)width * (uint64_t)height <= most)
        return 0;
    return error_set(d->e, ERROR_INVALID_ARGUMENT,
                     "The %s has %d x %d pixels; at most %llu million are decoded.",
                     media_kind_name(d->order->ask.kind), width, height,
                     (unsigned long long)(most >> 20));
}

/* Images have one stream, whose size the caller has seen in the header. */
static int find_stream(struct decoding *d)
{
    const struct libav *av = d->av;
    bool sound = d->order->ask.kind == MEDIA_KIND_AUDIO;
    enum AVMediaType type = sound ? AVMEDIA_TYPE_AUDIO : AVMEDIA_TYPE_VIDEO;
    AVDictionary *limits[64] = { 0 };
    int rc = 0;

    assert(d->format);
    uint32_t count = d->format->nb_streams < 64 ? d->format->nb_streams : 64;

    for (uint32_t i = 0; i < count; i++) {
        const AVCodecParameters *p = d->format->streams[i]->codecpar;
        if (p->codec_type == AVMEDIA_TYPE_VIDEO && p->width &&
            check_size(d, p->width, p->height) < 0)
            return -1;
        (void)av->av_dict_set_int(&limits[i], "max_pixels", MEDIA_FRAME_PIXELS_MAX, 0);
        (void)av->av_dict_set_int(&limits[i], "threads", 1, 0);
    }
    if (d->order->ask.kind != MEDIA_KIND_IMAGE)
        rc = av->avformat_find_stream_info(d->format, limits);
    for (uint32_t i = 0; i < count; i++)
        av->av_dict_free(&limits[i]);
    if (rc < 0)
        return fail(d, "its streams cannot be read", rc);
    int best = av->av_find_best_stream(d->format, type, -1, -1, NULL, 0);
    if (best < 0)
        return error_set(d->e, ERROR_INVALID_ARGUMENT, "The file has no %s in it.",
                         sound ? "sound" : "pictures");
    d->stream = d->format->streams[best];
    for (uint32_t i = 0; i < d->format->nb_streams; i++)
        d->format->streams[i]->discard = (int)i == best ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    return 0;
}

static int open_codec(struct decoding *d)
{
    const struct libav *av = d->av;
    const AVCodec *codec = av->avcodec_find_decoder(d->stream->codecpar->codec_id);

    if (!codec)
        return error_set(d->e, ERROR_INVALID_ARGUMENT, "Its codec is not known here.");
    d->codec = av->avcodec_alloc_context3(codec);
    int rc = av->avcodec_parameters_to_context(d->codec, d->stream->codecpar);
    d->codec->thread_count = 1;
    if (d->order->ask.kind == MEDIA_KIND_IMAGE)
        d->codec->err_recognition |= AV_EF_EXPLODE | AV_EF_CRCCHECK;
    d->codec->max_pixels =
        d->order->ask.kind == MEDIA_KIND_IMAGE ? MEDIA_PIXELS_MAX : MEDIA_FRAME_PIXELS_MAX;
    d->codec->pkt_timebase = d->stream->time_base;
    if (rc >= 0)
        rc = av->avcodec_open2(d->codec, codec, NULL);
    return rc < 0 ? fail(d, "its decoder cannot begin", rc) : 0;
}

static void close_all(struct decoding *d)
{
    const struct libav *av = d->av;

    av->sws_freeContext(d->sws);
    av->avcodec_free_context(&d->codec);
    av->avformat_close_input(&d->format);
    if (d->io) {
        av->av_free(d->io->buffer);
        av->avio_context_free(&d->io);
    }
    mem_free(d->rgba);
    mem_free(d->rgb);
}

/* ---- Frames ---- */

/* The next frame: 1, 0 at the end, -1. A packet of a video or a sound that cannot be decoded is passed over, as
 * players do. */
static int next_frame(struct decoding *d, AVPacket *packet, AVFrame *frame)
{
    const struct libav *av = d->av;

    for (;;) {
        int rc = av->avcodec_receive_frame(d->codec, frame);
        if (rc >= 0)
            return 1;
        if (is_late(d))
            return fail(d, "", 0);
        if (rc == AVERROR_EOF || d->drained)
            return 0;
        rc = av->av_read_frame(d->format, packet);
        if (rc < 0) {
            d->drained = true;
            (void)av->avcodec_send_packet(d->codec, NULL); /* what it still holds */
            continue;
        }
        rc = packet->stream_index == d->stream->index ? av->avcodec_send_packet(d->codec, packet)
                                                      : 0;
        av->av_packet_unref(packet);
        if (rc < 0 && d->order->ask.kind == MEDIA_KIND_IMAGE)
            return fail(d, "it cannot be decoded", rc);
    }
}

/* Width and height within the pixels of the order, of the same shape. */
static void scaled_size(const struct decoding *d, const AVFrame *f, int *width, int *height)
{
    double all = (double)f->width * f->height;

    *width = f->width;
    *height = f->height;
    if (all <= d->order->pixels)
        return;
    double by = sqrt(d->order->pixels / all);
    *width = (int)fmax(1, floor(f->width * by));
    *height = (int)fmax(1, floor(f->height * by));
}

/* One of 1 to 8, as EXIF counts. */
static int orientation_of(const struct decoding *d, const AVFrame *f)
{
    const AVDictionaryEntry *exif = d->av->av_dict_get(f->metadata, "Orientation", NULL, 0);
    size_t bytes = 0;
    const uint8_t *matrix =
        d->av->av_stream_get_side_data(d->stream, AV_PKT_DATA_DISPLAYMATRIX, &bytes);

    if (exif) {
        long n = strtol(exif->value, NULL, 10);
        return n >= 1 && n <= 8 ? (int)n : 1;
    }
    if (!matrix || bytes < 9 * sizeof(int32_t))
        return 1;
    int32_t values[9];
    memcpy(values, matrix, sizeof values);
    double degrees = d->av->av_display_rotation_get(values);
    long quarter = isnan(degrees) ? 0 : lround(-degrees / 90) & 3;
    static const int turned[] = { 1, 6, 3, 8 };
    return turned[quarter];
}

/* The place in the stored picture of pixel (x, y) of the picture as it should be seen. */
static size_t stored_at(int orientation, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
    uint32_t right = width - 1, bottom = height - 1;
    uint32_t sx = x, sy = y;

    switch (orientation) {
    case 2:
        sx = right - x;
        break;
    case 3:
        sx = right - x;
        sy = bottom - y;
        break;
    case 4:
        sy = bottom - y;
        break;
    case 5:
        sx = y;
        sy = x;
        break;
    case 6:
        sx = y;
        sy = bottom - x;
        break;
    case 7:
        sx = right - y;
        sy = bottom - x;
        break;
    case 8:
        sx = right - y;
        sy = x;
        break;
    default:
        break;
    }
    return (size_t)sy * width + sx;
}

static unsigned char on_white(unsigned char colour, unsigned char alpha)
{
    return (unsigned char)((colour * alpha + 255 * (255 - alpha) + 127) / 255);
}

/* RGBA as stored to RGB as seen. */
static void finish_pixels(struct decoding *d, int orientation, uint32_t width, uint32_t height,
                          struct media_piece *out)
{
    unsigned char *to = d->rgb;

    out->width = orientation > 4 ? height : width;
    out->height = orientation > 4 ? width : height;
    for (uint32_t y = 0; y < out->height; y++)
        for (uint32_t x = 0; x < out->width; x++) {
            const unsigned char *from =
                d->rgba + 4 * (orientation == 1 ? (size_t)y * width + x
                                                : stored_at(orientation, x, y, width, height));
            for (int c = 0; c < 3; c++)
                *to++ = from[3] == 255 ? from[c] : on_white(from[c], from[3]);
        }
    out->data = d->rgb;
    out->bytes = (uint64_t)width * height * 3;
}

static void set_colours(struct decoding *d, const AVFrame *f)
{
    int space = f->colorspace == AVCOL_SPC_UNSPECIFIED ? SWS_CS_DEFAULT : (int)f->colorspace;
    int full = f->color_range == AVCOL_RANGE_JPEG;
    const int *table = d->av->sws_getCoefficients(space);

    (void)d->av->sws_setColorspaceDetails(d->sws, table, full, table, 1, 0, 1 << 16, 1 << 16);
}

static int emit_frame(struct decoding *d, const AVFrame *f, int64_t time_us)
{
    struct media_piece piece = { .time_us = time_us };
    int width, height;

    if (check_size(d, f->width, f->height) < 0)
        return -1;
    scaled_size(d, f, &width, &height);
    d->av->sws_freeContext(d->sws);
    int how = width == f->width && height == f->height ? SWS_BICUBIC : SWS_AREA;
    d->sws = d->av->sws_getContext(f->width, f->height, (enum AVPixelFormat)f->format, width,
                                   height, AV_PIX_FMT_RGBA,
                                   how | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, NULL, NULL, NULL);
    if (!d->sws)
        return fail(d, "its colours are of an unknown kind", 0);
    set_colours(d, f);
    size_t pixels = (size_t)width * (size_t)height;
    d->rgba = mem_grow(d->rgba, pixels * 4 + 64);
    d->rgb = mem_grow(d->rgb, pixels * 3);
    uint8_t *to[4] = { d->rgba };
    int stride[4] = { width * 4 };
    if (d->av->sws_scale(d->sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height, to,
                         stride) < 0)
        return fail(d, "its pixels cannot be read", 0);
    finish_pixels(d, orientation_of(d, f), (uint32_t)width, (uint32_t)height, &piece);
    return d->sink->piece(d->sink->arg, &piece, d->e);
}

static int decode_image(struct decoding *d, AVPacket *packet, AVFrame *frame)
{
    int rc = next_frame(d, packet, frame);

    if (rc == 0 || (rc > 0 && (frame->decode_error_flags || frame->flags & AV_FRAME_FLAG_CORRUPT)))
        return fail(d, "no whole picture can be decoded", 0);
    return rc < 0 ? -1 : emit_frame(d, frame, 0);
}

/* ---- Videos ---- */

/* The times at which frames are wanted. */
struct sampling {
    int64_t end_us;
    double step_us;
    uint32_t taken;
};

static int64_t next_time(const struct decoding *d, const struct sampling *s)
{
    return d->order->ask.start_us + (int64_t)llround(s->taken * s->step_us);
}

static int take_until(struct decoding *d, struct sampling *s, const AVFrame *shown, int64_t until)
{
    for (int64_t t = next_time(d, s); t < until && t < s->end_us; t = next_time(d, s)) {
        if (s->taken == d->order->ask.frames_max)
            return error_set(
                d->e, ERROR_INVALID_ARGUMENT,
                "The video has more than the %u frames that fit into the model's context; ask "
                "for a part of it by startOffset and endOffset, or for a lower fps.",
                d->order->ask.frames_max);
        if (emit_frame(d, shown, t) < 0)
            return -1;
        s->taken++;
    }
    return 0;
}

static int check_length(struct decoding *d, int64_t from_us, int64_t to_us)
{
    if (to_us - from_us <= d->order->ask.seconds_max * US_PER_S)
        return 0;
    return error_set(d->e, ERROR_INVALID_ARGUMENT, "The %s is %lld s long; the model takes %u s.",
                     media_kind_name(d->order->ask.kind), (long long)((to_us - from_us) / US_PER_S),
                     d->order->ask.seconds_max);
}

static int64_t time_of(const struct decoding *d, const AVFrame *f, int64_t else_us)
{
    int64_t first = d->stream->start_time == AV_NOPTS_VALUE ? 0 : d->stream->start_time;

    if (f->best_effort_timestamp == AV_NOPTS_VALUE)
        return else_us;
    return d->av->av_rescale_q(f->best_effort_timestamp - first, d->stream->time_base,
                               (AVRational){ 1, (int)US_PER_S });
}

static int64_t length_of_frame(const struct decoding *d, const AVFrame *f)
{
    AVRational rate = d->stream->avg_frame_rate;

    if (f->pkt_duration > 0)
        return d->av->av_rescale_q(f->pkt_duration, d->stream->time_base,
                                   (AVRational){ 1, (int)US_PER_S });
    return rate.num > 0 ? US_PER_S * rate.den / rate.num : US_PER_S / 25;
}

static void seek_near(struct decoding *d)
{
    int64_t first = d->stream->start_time == AV_NOPTS_VALUE ? 0 : d->stream->start_time;
    int64_t to = d->av->av_rescale_q(d->order->ask.start_us, (AVRational){ 1, (int)US_PER_S },
                                     d->stream->time_base) +
                 first;

    if (d->order->ask.start_us >= SEEK_FROM_US)
        (void)d->av->avformat_seek_file(d->format, d->stream->index, INT64_MIN, to, to, 0);
}

static int begin_video(struct decoding *d, struct sampling *s)
{
    const struct media_ask *ask = &d->order->ask;
    int64_t length = d->format->duration;

    *s = (struct sampling){ .end_us = ask->end_us, .step_us = (double)US_PER_S / ask->fps };
    if (length != AV_NOPTS_VALUE && length > 0) {
        int64_t end = length < ask->end_us ? length : ask->end_us;
        if (ask->start_us >= length)
            return error_set(d->e, ERROR_INVALID_ARGUMENT,
                             "startOffset is behind the end of the video, which is %.1f s long.",
                             (double)length / US_PER_S);
        if (check_length(d, ask->start_us, end) < 0)
            return -1;
    }
    seek_near(d);
    return 0;
}

static int decode_video(struct decoding *d, AVPacket *packet, AVFrame *frame)
{
    AVFrame *shown = d->av->av_frame_alloc();
    int64_t start = d->order->ask.start_us, at = 0, last = 0;
    uint32_t decoded = 0;
    struct sampling s;
    int rc = begin_video(d, &s);

    while (rc == 0 && at < s.end_us && (rc = next_frame(d, packet, frame)) > 0) {
        last = decoded ? at + length_of_frame(d, frame) : 0;
        at = time_of(d, frame, last);
        rc = ++decoded > FRAMES_DECODED_MAX ? fail(d, "it has too many frames", 0)
             : at > start                   ? check_length(d, start, at < s.end_us ? at : s.end_us)
                                            : 0;
        if (rc == 0 && shown->buf[0])
            rc = take_until(d, &s, shown, at);
        last = at + length_of_frame(d, frame);
        d->av->av_frame_unref(shown);
        d->av->av_frame_move_ref(shown, frame);
    }
    if (rc == 0 && !shown->buf[0])
        rc = fail(d, "no frame can be decoded", 0);
    if (rc == 0)
        rc = take_until(d, &s, shown, last);
    if (rc == 0 && !s.taken)
        rc = error_set(d->e, ERROR_INVALID_ARGUMENT,
                       "startOffset is behind the last frame of the video.");
    d->av->av_frame_free(&shown);
    return rc;
}

/* ---- Sounds ---- */

struct sound {
    SwrContext *swr;
    float *samples;
    uint64_t count, cap, most;
};

static int open_resampler(struct decoding *d, struct sound *s, const AVFrame *f)
{
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO, from = f->ch_layout;
    int rc;

    if (from.order == AV_CHANNEL_ORDER_UNSPEC)
        d->av->av_channel_layout_default(&from, f->ch_layout.nb_channels);
    rc = d->av->swr_alloc_set_opts2(&s->swr, &mono, AV_SAMPLE_FMT_FLT,
                                    (int)d->order->ask.sample_rate, &from,
                                    (enum AVSampleFormat)f->format, f->sample_rate, 0, NULL);
    if (rc >= 0)
        rc = d->av->swr_init(s->swr);
    return rc < 0 ? fail(d, "its samples are of an unknown kind", rc) : 0;
}

/* f: NULL for what the resampler still holds. */
static int add_samples(struct decoding *d, struct sound *s, const AVFrame *f)
{
    int more = d->av->swr_get_out_samples(s->swr, f ? f->nb_samples : 0);

    if (more <= 0)
        return 0;
    if (s->count + (uint64_t)more > s->cap) {
        s->cap = 2 * s->cap + (uint64_t)more;
        s->samples = mem_grow(s->samples, s->cap * sizeof(float));
    }
    uint8_t *to = (uint8_t *)(s->samples + s->count);
    const uint8_t **from = NULL;
    if (f)
        memcpy(&from, &f->extended_data,
               sizeof from); /* the same pointers, to bytes that are only read */
    int got = d->av->swr_convert(s->swr, &to, more, from, f ? f->nb_samples : 0);
    if (got < 0)
        return fail(d, "its samples cannot be read", got);
    s->count += (uint64_t)got;
    if (s->count > s->most)
        return error_set(d->e, ERROR_INVALID_ARGUMENT,
                         "The sound is longer than the %u s that the model takes.",
                         d->order->ask.seconds_max);
    return 0;
}

static int decode_sound(struct decoding *d, AVPacket *packet, AVFrame *frame)
{
    struct sound s = { .most = (uint64_t)d->order->ask.seconds_max * d->order->ask.sample_rate };
    int64_t length = d->format->duration;
    int rc = length != AV_NOPTS_VALUE && length > 0 ? check_length(d, 0, length) : 0, rate = 0;

    while (rc == 0 && (rc = next_frame(d, packet, frame)) > 0) {
        rc = 0;
        if (!s.swr || frame->sample_rate != rate) {
            d->av->swr_free(&s.swr);
            rate = frame->sample_rate;
            rc = open_resampler(d, &s, frame);
        }
        if (rc == 0)
            rc = add_samples(d, &s, frame);
        d->av->av_frame_unref(frame);
    }
    if (rc == 0 && s.swr)
        rc = add_samples(d, &s, NULL);
    if (rc == 0 && !s.count)
        rc = fail(d, "no sample can be decoded", 0);
    if (rc == 0) {
        const struct media_piece piece = { .samples = s.count,
                                           .data = (unsigned char *)s.samples,
                                           .bytes = s.count * sizeof(float) };
        rc = d->sink->piece(d->sink->arg, &piece, d->e);
    }
    d->av->swr_free(&s.swr);
    mem_free(s.samples);
    return rc;
}

int media_decode(const struct libav *av, int fd, const struct media_order *order,
                 const struct media_sink *sink, struct error *e)
{
    struct decoding d = {
        .av = av,
        .order = order,
        .sink = sink,
        .fd = fd,
        .cpu_end_ns = clock_thread_ns() + MEDIA_CPU_S_MAX * NS_PER_S,
        .e = e,
    };
    AVPacket *packet = av->av_packet_alloc();
    AVFrame *frame = av->av_frame_alloc();
    int rc = open_format(&d);

    if (rc == 0)
        rc = find_stream(&d);
    if (rc == 0)
        rc = open_codec(&d);
    if (rc == 0)
        rc = order->ask.kind == MEDIA_KIND_IMAGE   ? decode_image(&d, packet, frame)
             : order->ask.kind == MEDIA_KIND_VIDEO ? decode_video(&d, packet, frame)
                                                   : decode_sound(&d, packet, frame);
    av->av_frame_free(&frame);
    av->av_packet_free(&packet);
    close_all(&d);
    return rc;
}
