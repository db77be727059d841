/* image_jp2.c - JPEG 2000 by OpenJPEG: a bare codestream, or one in the boxes of a .jp2 file that says sRGB or gray.
 * The boxes are read here and the library is given the codestream alone, after its SIZ segment has been checked: the
 * library takes kilobytes for each tile that the header promises. Source: ITU-T T.800, annexes A and I. */
#include "ops/image.h"
#include "ops/image_sonames.h"

#include <openjpeg.h>
#include <string.h>

/* Limits of this decoder, the SIZ segment's least length (markers included), and the types and colour spaces of
 * boxes. */
enum { MOST_TILES = 4096, MOST_COMPONENTS = 4, SIZ_BYTES = 42 };
enum { BOX_STREAM = 0x6a703263, BOX_HEADER = 0x6a703268, BOX_COLOUR = 0x636f6c72, BOX_PALETTE = 0x70636c72 };
enum { COLOUR_SRGB = 16, COLOUR_GRAY = 17 };

#define FUNCTIONS(X) \
    X(opj_stream_create) X(opj_create_decompress) X(opj_set_default_decoder_parameters) \
    X(opj_stream_set_user_data) X(opj_stream_set_user_data_length) X(opj_stream_set_read_function) \
    X(opj_stream_set_skip_function) X(opj_stream_set_seek_function) X(opj_setup_decoder) X(opj_read_header) \
    X(opj_decode) X(opj_end_decompress) X(opj_image_destroy) X(opj_destroy_codec) X(opj_stream_destroy)
INGOT_LIBRARY(openjpeg, INGOT_SONAME_jp2);

/* What the library has still to read. */
typedef struct stream {
    ingot_encoded all;
    size_t at;
} stream;

/* The library's callbacks: up to n bytes to `to`, and -1 where there are none left. */
static OPJ_SIZE_T take_bytes(void *to, OPJ_SIZE_T n, void *user)
{
    stream *s = user;
    const size_t taken = MIN(n, s->all.size_bytes - s->at);

    if (!taken)
        return (OPJ_SIZE_T)-1;
    memcpy(to, s->all.data + s->at, taken);
    s->at += taken;
    return taken;
}

/* Only forward, and not past the end: -1 instead. */
static OPJ_OFF_T skip_bytes(OPJ_OFF_T n, void *user)
{
    stream *s = user;

    if (n < 0 || (uint64_t)n > s->all.size_bytes - s->at)
        return -1;
    s->at += (size_t)n;
    return n;
}

/* To any place in the codestream, its end included. */
static OPJ_BOOL seek(OPJ_OFF_T to, void *user)
{
    stream *s = user;

    if (to < 0 || (uint64_t)to > s->all.size_bytes)
        return OPJ_FALSE;
    s->at = (size_t)to;
    return OPJ_TRUE;
}

/* The content of the next box of `from`, which then begins after it; its type in *type. Length 0 reaches to the end,
 * length 1 stands for an 8-byte one. False: no whole box is left. */
static bool next_box(ingot_encoded *from, uint32_t *type, ingot_encoded *content)
{
    if (from->size_bytes < 8)
        return false;
    uint64_t length = ingot_big(from->data, 4), header = 8;
    *type = ingot_big(from->data + 4, 4);
    if (length == 1 && from->size_bytes >= 16) {
        length = (uint64_t)ingot_big(from->data + 8, 4) << 32 | ingot_big(from->data + 12, 4);
        header = 16;
    }
    if (!length)
        length = from->size_bytes;
    if (length < header || length > from->size_bytes)
        return false;
    *content = (ingot_encoded){ from->data + header, (size_t)(length - header) };
    *from = (ingot_encoded){ from->data + length, from->size_bytes - (size_t)length };
    return true;
}

/* From a .jp2 file to its codestream; one that is bare (0xff begins its first marker) stays as it is. UNSUPPORTED: a
 * palette or another colour space, of which the header's boxes tell; they precede the codestream. BAD_INPUT: no
 * codestream. */
static ingot_status find_codestream(ingot_op_ctx *c, ingot_encoded file, ingot_encoded *codestream)
{
    ingot_encoded box, inner;
    uint32_t type, kind;

    *codestream = file;
    if (file.data[0] == 0xff)
        return INGOT_OK;
    while (next_box(&file, &type, &box)) {
        if (type == BOX_STREAM) {
            *codestream = box;
            return INGOT_OK;
        }
        while (type == BOX_HEADER && next_box(&box, &kind, &inner)) {
            if (kind == BOX_PALETTE)
                return ingot_image_unsupported(c, "a JPEG 2000 with a palette");
            if (kind == BOX_COLOUR && inner.size_bytes >= 7 && inner.data[0] == 1 &&
                ingot_big(inner.data + 3, 4) != COLOUR_SRGB && ingot_big(inner.data + 3, 4) != COLOUR_GRAY)
                return ingot_image_unsupported(c, "a JPEG 2000 in another colour space than sRGB and gray");
        }
    }
    return INGOT_BAD_INPUT;
}

/* Size of the picture and number of its tiles from the SIZ segment, before the library believes it. Coordinates are
 * those of a grid: the picture reaches from (left, top) to (right, bottom). The number of tiles is counted from the
 * grid's origin, which is never too few. */
static ingot_status check_size(ingot_op_ctx *c, ingot_encoded codestream, ingot_image *image)
{
    const uint8_t *siz = codestream.data + 8;        /* after SOC, SIZ, length and capabilities */

    if (codestream.size_bytes < SIZ_BYTES || memcmp(codestream.data, "\xff\x4f\xff\x51", 4))
        return INGOT_BAD_INPUT;
    const uint64_t right = ingot_big(siz, 4), bottom = ingot_big(siz + 4, 4), left = ingot_big(siz + 8, 4),
                   top = ingot_big(siz + 12, 4), tile_width = ingot_big(siz + 16, 4),
                   tile_height = ingot_big(siz + 20, 4);
    const uint32_t components = ingot_big(siz + 32, 2);
    if (right <= left || bottom <= top || !tile_width || !tile_height || !components)
        return INGOT_BAD_INPUT;
    if (components > MOST_COMPONENTS || (right / tile_width + 1) * (bottom / tile_height + 1) > MOST_TILES)
        return ingot_image_unsupported(c, "a JPEG 2000 of so many components or tiles");
    return ingot_image_alloc(c, codestream, right - left, bottom - top, image);
}

/* One component or three of the picture's size, each of 1 to 16 bits; further ones (alpha) are left out. Signed
 * components are moved up by half of their range; what exceeds it is cut off. */
static ingot_status copy_pixels(ingot_op_ctx *c, const opj_image_t *decoded, ingot_image *image)
{
    const OPJ_UINT32 n = decoded->numcomps, colours = n >= 3 ? 3 : 1;

    for (OPJ_UINT32 k = 0; k < colours; k++) {
        const opj_image_comp_t *component = &decoded->comps[k];
        if (!component->data)
            return INGOT_BAD_INPUT;
        if (component->w != image->width || component->h != image->height || component->prec < 1 ||
            component->prec > 16)
            return ingot_image_unsupported(c, "a JPEG 2000 with components of different sizes, or over 16 bits");
    }
    /* Components to red, green and blue, or the only one to all three; more than 8 bits lose their lowest. */
    for (OPJ_UINT32 k = 0; k < 3; k++) {
        const opj_image_comp_t *component = &decoded->comps[colours == 3 ? k : 0];
        const int64_t most = (INT64_C(1) << component->prec) - 1, shift = component->sgnd ? most / 2 + 1 : 0;
        for (int64_t i = 0; i < image->width * image->height; i++) {
            const int64_t value = MAX(0, MIN(most, component->data[i] + shift));
            image->rgb[3 * i + k] = (uint8_t)(component->prec >= 8 ? value >> (component->prec - 8)
                                                                     : value * 255 / most);
        }
    }
    return INGOT_OK;
}

/* The library is asked only when everything that decides about memory has been checked. All of its objects are
 * destroyed at the end; its functions accept NULL. */
ingot_status ingot_image_jp2(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image)
{
    opj_dparameters_t parameters;
    opj_image_t *decoded = NULL;
    stream s = { .at = 0 };
    ingot_status st;

    if ((st = ingot_open_library(c, &openjpeg_library)) || (st = find_codestream(c, encoded, &s.all)) ||
        (st = check_size(c, s.all, image)))
        return st;
    opj_stream_t *from = openjpeg.opj_stream_create(1 << 16, OPJ_TRUE);
    opj_codec_t *codec = openjpeg.opj_create_decompress(OPJ_CODEC_J2K);       /* without a handler it prints nothing */
    openjpeg.opj_set_default_decoder_parameters(&parameters);
    if (from && codec) {
        openjpeg.opj_stream_set_user_data(from, &s, NULL);
        openjpeg.opj_stream_set_user_data_length(from, s.all.size_bytes);
        openjpeg.opj_stream_set_read_function(from, take_bytes);
        openjpeg.opj_stream_set_skip_function(from, skip_bytes);
        openjpeg.opj_stream_set_seek_function(from, seek);
        const bool read = openjpeg.opj_setup_decoder(codec, &parameters) &&
                          openjpeg.opj_read_header(from, codec, &decoded) &&
                          openjpeg.opj_decode(codec, from, decoded) && openjpeg.opj_end_decompress(codec, from);
        st = read ? copy_pixels(c, decoded, image) : INGOT_BAD_INPUT;
    } else {
        st = ingot_op_out_of_memory(c);
    }
    openjpeg.opj_image_destroy(decoded);
    openjpeg.opj_destroy_codec(codec);
    openjpeg.opj_stream_destroy(from);
    return st;
}
