/* image_decoder.c - ImageDecoder: which format it is (by its first bytes), decoding, and the order of the channels. As
 * the specification says, a picture that is malformed becomes one of no pixels; what this build cannot read is an
 * error. Transparency is dropped. To add a format: a decoder, its name in image.h, and a row in formats[]. */
#include <string.h>

#include "ops/image.h"

/* A picture of up to FREE_BYTES may come from any file; a larger one has at most MOST_RATIO bytes for each encoded one
 * (deflate reaches 1032). */
enum { FREE_BYTES = 16 << 20, MOST_RATIO = 4096, MOST_SIDE = 1 << 20 };
static const uint64_t most_bytes = UINT64_C(1) << 30;

/* The formats by their first bytes, tried in order; the shortest marks, with which other files may begin as well, come
 * last. */
static const struct {
    const char *magic;
    uint8_t at, n;               /* where in the file, and how many bytes */
    ingot_image_decoder *decode;
} formats[] = {
    { "\x89PNG\r\n\x1a\n", 0, 8, ingot_image_png },
    { "\xff\xd8\xff", 0, 3, ingot_image_jpeg },
    { "WEBP", 8, 4, ingot_image_webp },
    { "II*\0", 0, 4, ingot_image_tiff },
    { "MM\0*", 0, 4, ingot_image_tiff },
    { "\0\0\0\x0cjP  \r\n\x87\n", 0, 12, ingot_image_jp2 },
    { "\xff\x4f\xff\x51", 0, 4, ingot_image_jp2 },
    { "BM", 0, 2, ingot_image_bmp },
    { "P1", 0, 2, ingot_image_pnm },
    { "P2", 0, 2, ingot_image_pnm },
    { "P3", 0, 2, ingot_image_pnm },
    { "P4", 0, 2, ingot_image_pnm },
    { "P5", 0, 2, ingot_image_pnm },
    { "P6", 0, 2, ingot_image_pnm },
};

/* The caller has checked that n bytes are there. */
uint32_t ingot_little(const uint8_t *bytes, int n)
{
    uint32_t value = 0;
    for (int i = n; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

uint32_t ingot_big(const uint8_t *bytes, int n)
{
    uint32_t value = 0;
    for (int i = 0; i < n; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* What is not read is UNSUPPORTED, and the message says which of the two reasons it is. */
ingot_status ingot_image_missing(ingot_op_ctx *c, const char *library)
{
    return ingot_op_fail(c, INGOT_UNSUPPORTED, "the picture needs %s, which this build was made without", library);
}

ingot_status ingot_image_unsupported(ingot_op_ctx *c, const char *kind)
{
    return ingot_op_fail(c, INGOT_UNSUPPORTED, "pictures of this kind are not read: %s", kind);
}

/* The memory is set to 0, so that rows that a decoder never reaches are black and not what was there before. */
ingot_status ingot_image_alloc(ingot_op_ctx *c, ingot_encoded encoded, uint64_t width, uint64_t height,
                               ingot_image *image)
{
    if (!width || !height)
        return INGOT_BAD_INPUT;
    const bool fits = width <= MOST_SIDE && height <= MOST_SIDE;
    const uint64_t bytes = fits ? width * height * 3 : 0;
    if (!fits || bytes > most_bytes || (bytes > FREE_BYTES && bytes / MOST_RATIO > encoded.size_bytes))
        return ingot_op_fail(c, INGOT_LIMIT, "%zu bytes say that they are a picture of %llu x %llu pixels",
                             encoded.size_bytes, (unsigned long long)width, (unsigned long long)height);
    *image = (ingot_image){ (int64_t)width, (int64_t)height, ingot_run_alloc(c, (size_t)bytes) };
    if (!image->rgb)
        return ingot_op_out_of_memory(c);
    memset(image->rgb, 0, (size_t)bytes);
    return INGOT_OK;
}

/* How many channels pixel_format asks for, and whether blue comes first. INVALID: none of RGB, BGR and Grayscale. */
static ingot_status read_format(ingot_op_ctx *c, int *channels, bool *blue_first)
{
    const char *format = ingot_attr_string(c->node, "pixel_format", "RGB");

    *blue_first = !strcmp(format, "BGR");
    *channels = strcmp(format, "Grayscale") ? 3 : 1;
    if (*channels == 3 && !*blue_first && strcmp(format, "RGB"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'pixel_format' is '%.40s'", format);
    return INGOT_OK;
}

/* (height, width, channels), known only from the encoded bytes. The attribute is checked here, so that a wrong one
 * shows before there is a picture. */
static ingot_status infer_decoder(ingot_op_ctx *c)
{
    bool blue_first;
    int channels;
    const ingot_status st = read_format(c, &channels, &blue_first);
    return st ? st : ingot_out_unknown(c, 0, INGOT_TENSOR, INGOT_UINT8);
}

/* Luma of ITU-R 601 in 16-bit fixed point, rounded. The three weights add up to 65536, so that white stays 255. */
static uint8_t gray_of(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

/* X is the file, a list of bytes. A format that is not known counts as malformed: Y is (0, 0, channels). */
static ingot_status run_decoder(ingot_op_ctx *c)
{
    const ingot_encoded encoded = { c->in[0]->data, ingot_storage_bytes(c->in[0]) };
    const size_t n_formats = sizeof formats / sizeof *formats;
    ingot_image image = { 0 };
    ingot_status st = INGOT_BAD_INPUT;
    bool blue_first;
    int channels;
    size_t f = 0;

    /* Which format it is; then its decoder. */
    while (f < n_formats && (encoded.size_bytes < (size_t)formats[f].at + formats[f].n ||
                             memcmp(encoded.data + formats[f].at, formats[f].magic, formats[f].n)))
        f++;
    if (f < n_formats)
        st = formats[f].decode(c, encoded, &image);
    /* A decoder may have given the image its size before it failed. */
    if (st == INGOT_BAD_INPUT)
        image = (ingot_image){ 0 };
    else if (st)
        return st;
    if ((st = read_format(c, &channels, &blue_first)) ||
        (st = ingot_out_resize(c, 0, INGOT_UINT8, 3, (int64_t[]){ image.height, image.width, channels })))
        return st;
    /* The pixels in the order that pixel_format asks for. */
    uint8_t *to = c->out[0] ? c->out[0]->data : NULL;
    for (int64_t i = 0; i < image.width * image.height && to; i++, to += channels) {
        const uint8_t *rgb = image.rgb + 3 * i;
        to[0] = channels == 1 ? gray_of(rgb) : rgb[blue_first ? 2 : 0];
        if (channels == 3) {
            to[1] = rgb[1];
            to[2] = rgb[blue_first ? 0 : 2];
        }
    }
    return INGOT_OK;
}

const ingot_op ingot_ops_image_decoder[] = {
    { "ImageDecoder", 20, 1, 1, { INGOT_TYPE(UINT8) }, infer_decoder, run_decoder },
    { 0 }
};
