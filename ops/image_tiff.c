/* image_tiff.c - TIFF by libtiff, the first picture of a file, through its conversion to 8-bit RGB of all kinds of
 * pixels. The file is read from memory by way of callbacks. */
#include "ops/image.h"
#include "ops/image_sonames.h"

#include <string.h>
#include <tiffio.h>

enum { MOST_BYTES = 1 << 28 };   /* of one block of memory of the library */

#define FUNCTIONS(X) \
    X(TIFFIsTiled) X(TIFFTileSize64) X(TIFFStripSize64) X(TIFFGetField) X(TIFFRGBAImageOK) \
    X(TIFFReadRGBAImageOriented) X(TIFFOpenOptionsAlloc) X(TIFFOpenOptionsFree) \
    X(TIFFOpenOptionsSetErrorHandlerExtR) X(TIFFOpenOptionsSetWarningHandlerExtR) \
    X(TIFFOpenOptionsSetMaxSingleMemAlloc) X(TIFFClientOpenExt) X(TIFFClose)
INGOT_LIBRARY(libtiff, INGOT_SONAME_tiff);

/* The file in memory, as the library's callbacks see it; reads past its end give nothing. */
typedef struct source {
    ingot_encoded encoded;
    uint64_t at;                 /* may lie past the end */
} source;

/* Up to n bytes; the count of those given, which the library compares with n. */
static tmsize_t read_at(thandle_t handle, void *to, tmsize_t n)
{
    source *s = handle;
    const uint64_t left = s->at < s->encoded.size_bytes ? s->encoded.size_bytes - s->at : 0;
    const size_t taken = n < 0 ? 0 : (size_t)MIN(left, (uint64_t)n);

    if (taken)
        memcpy(to, s->encoded.data + s->at, taken);
    s->at += taken;
    return (tmsize_t)taken;
}

/* The file is only read, but the library wants all callbacks. */
static tmsize_t refuse_write(thandle_t handle, void *from, tmsize_t n)
{
    (void)handle, (void)from, (void)n;
    return -1;
}

/* Any place may be sought: what lies past the end is found out by reading. */
static toff_t seek(thandle_t handle, toff_t offset, int whence)
{
    source *s = handle;
    s->at = offset + (whence == SEEK_CUR ? s->at : whence == SEEK_END ? s->encoded.size_bytes : 0);
    return s->at;
}

/* Nothing was opened. */
static int close_source(thandle_t handle)
{
    (void)handle;
    return 0;
}

/* The size of the file, in bytes. */
static toff_t size_of_source(thandle_t handle) { return ((const source *)handle)->encoded.size_bytes; }

/* The bytes lie in memory already: the library reads its arrays from there, and allocates none by a count it read. */
static int map_source(thandle_t handle, void **base, toff_t *n)
{
    const source *s = handle;
    *base = (void *)(uintptr_t)s->encoded.data;
    *n = s->encoded.size_bytes;
    return 1;
}

static void unmap_source(thandle_t handle, void *base, toff_t n) { (void)handle, (void)base, (void)n; }

/* Whether a strip or tile is no larger than the picture, up to the edge of a tile. 64 bytes for a pixel are more than
 * any kind of pixel has. */
static bool is_in_proportion(TIFF *tiff, uint32_t width, uint32_t height)
{
    const uint64_t part = libtiff.TIFFIsTiled(tiff) ? libtiff.TIFFTileSize64(tiff) : libtiff.TIFFStripSize64(tiff);
    return part > 0 && part <= (uint64_t)width * height * 64 + (1u << 20);
}

/* Rows from the top; a pixel of the library has red in its lowest byte. UNSUPPORTED: a kind of pixels that the library
 * does not convert, with its reason. LIMIT: memory. */
static ingot_status read_image(ingot_op_ctx *c, TIFF *tiff, ingot_encoded encoded, ingot_image *image)
{
    uint32_t width = 0, height = 0;
    char reason[1024] = "";
    ingot_status st;

    if (!libtiff.TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width) ||
        !libtiff.TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height))
        return INGOT_BAD_INPUT;
    if ((st = ingot_image_alloc(c, encoded, width, height, image)))
        return st;
    /* The library takes memory for a whole strip or tile. */
    if (!is_in_proportion(tiff, width, height))
        return INGOT_BAD_INPUT;
    if (!libtiff.TIFFRGBAImageOK(tiff, reason))
        return ingot_image_unsupported(c, reason);
    /* The library gives four bytes a pixel: they need a place of their own. */
    uint32_t *pixels = ingot_work_alloc(c, (size_t)width * height * sizeof *pixels);
    if (!pixels)
        return ingot_op_out_of_memory(c);
    st = libtiff.TIFFReadRGBAImageOriented(tiff, width, height, pixels, ORIENTATION_TOPLEFT, 1) ? INGOT_OK
                                                                                                 : INGOT_BAD_INPUT;
    for (int64_t i = 0; i < image->width * image->height && !st; i++) {
        image->rgb[3 * i] = (uint8_t)TIFFGetR(pixels[i]);
        image->rgb[3 * i + 1] = (uint8_t)TIFFGetG(pixels[i]);
        image->rgb[3 * i + 2] = (uint8_t)TIFFGetB(pixels[i]);
    }
    ingot_work_free(c, pixels);
    return st;
}

/* The library's own handlers print. */
static int stay_silent(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments)
{
    (void)tiff, (void)user, (void)module, (void)format, (void)arguments;
    return 1;
}

/* A file that cannot be opened is malformed. The limit on single blocks holds against counts that the file makes up. */
ingot_status ingot_image_tiff(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image)
{
    source s = { encoded, 0 };
    ingot_status st = ingot_open_library(c, &libtiff_library);
    if (st)
        return st;
    TIFFOpenOptions *options = libtiff.TIFFOpenOptionsAlloc();

    if (!options)
        return ingot_op_out_of_memory(c);
    libtiff.TIFFOpenOptionsSetErrorHandlerExtR(options, stay_silent, NULL);
    libtiff.TIFFOpenOptionsSetWarningHandlerExtR(options, stay_silent, NULL);
    libtiff.TIFFOpenOptionsSetMaxSingleMemAlloc(options, MOST_BYTES);
    TIFF *tiff = libtiff.TIFFClientOpenExt("picture", "r", &s, read_at, refuse_write, seek, close_source,
                                           size_of_source, map_source, unmap_source, options);
    libtiff.TIFFOpenOptionsFree(options);
    if (!tiff)
        return INGOT_BAD_INPUT;
    st = read_image(c, tiff, encoded, image);
    libtiff.TIFFClose(tiff);
    return st;
}
