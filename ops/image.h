/* image.h - encoded pictures to pixels, for ImageDecoder: what the decoders of the formats share. */
#ifndef INGOT_OPS_IMAGE_H
#define INGOT_OPS_IMAGE_H

#include "ops/op.h"

/* The bytes of an encoded picture. */
typedef struct ingot_encoded {
    const uint8_t *data;
    size_t size_bytes;
} ingot_encoded;

/* Pixels of 8-bit red, green and blue, rows from the top, in memory of the run. */
typedef struct ingot_image {
    int64_t width, height;
    uint8_t *rgb;
} ingot_image;

/* Decodes a picture. Returns INGOT_OK; INGOT_BAD_INPUT for a malformed one; INGOT_UNSUPPORTED for a kind that is not
 * read, or by a build without the library; INGOT_LIMIT for one that is too large. Only the last two set the error. */
typedef ingot_status ingot_image_decoder(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image);

ingot_image_decoder ingot_image_bmp, ingot_image_pnm, ingot_image_png, ingot_image_jpeg, ingot_image_webp,
    ingot_image_tiff, ingot_image_jp2;

/* Give the image its size and memory. A header can promise any size: one out of proportion to the encoded bytes is
 * INGOT_LIMIT, none at all INGOT_BAD_INPUT. */
ingot_status ingot_image_alloc(ingot_op_ctx *c, ingot_encoded encoded, uint64_t width, uint64_t height,
                               ingot_image *image);

/* What a decoder says whose library the build did not have. */
ingot_status ingot_image_missing(ingot_op_ctx *c, const char *library);

/* What a decoder says to a kind of its format that it does not read. */
ingot_status ingot_image_unsupported(ingot_op_ctx *c, const char *kind);

/* Functions of a library that is opened when a picture needs it, so that nobody else has to load it. A decoder lists
 * them as FUNCTIONS(X), with INGOT_LIBRARY(table, soname), and calls table.name(...). */
typedef struct ingot_library {
    const char *soname;
    const char *const *names;
    void *functions;             /* n of them, as the names */
    size_t n;
    bool is_open;                /* under the lock of ingot_open_library() */
} ingot_library;

#define INGOT_LIBRARY_MEMBER(name) __typeof__(name) *name;
#define INGOT_LIBRARY_NAME(name) #name,
#define INGOT_LIBRARY(table, file) \
    static struct { FUNCTIONS(INGOT_LIBRARY_MEMBER) } table; \
    static const char *const table##_names[] = { FUNCTIONS(INGOT_LIBRARY_NAME) }; \
    static ingot_library table##_library = { file, table##_names, &table, sizeof table / sizeof(void *), false }

/* INGOT_OK with all functions found; INGOT_UNSUPPORTED where the library is not installed or lacks one. Any number of
 * threads may call this at once. */
ingot_status ingot_open_library(ingot_op_ctx *c, ingot_library *library);

/* Integers of n <= 4 bytes, the least or the most significant first. */
uint32_t ingot_little(const uint8_t *bytes, int n);
uint32_t ingot_big(const uint8_t *bytes, int n);

#endif
