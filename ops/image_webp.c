/* image_webp.c - WebP by libwebp, lossy and lossless; the first picture of an animation is not one. */
#include "ops/image.h"
#include "ops/image_sonames.h"

#include <webp/decode.h>

#define FUNCTIONS(X) \
    X(WebPGetFeaturesInternal) X(WebPDecodeRGBInto)
INGOT_LIBRARY(webp, INGOT_SONAME_webp);

/* The header tells the size before memory is taken; the pixels then go straight into it. UNSUPPORTED: an animation. */
ingot_status ingot_image_webp(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image)
{
    WebPBitstreamFeatures features;

    ingot_status st = ingot_open_library(c, &webp_library);
    if (st)
        return st;
    /* The version lets the library refuse structures of another layout. */
    if (webp.WebPGetFeaturesInternal(encoded.data, encoded.size_bytes, &features, WEBP_DECODER_ABI_VERSION) !=
        VP8_STATUS_OK)
        return INGOT_BAD_INPUT;
    if (features.has_animation)
        return ingot_image_unsupported(c, "an animation in WebP");
    st = ingot_image_alloc(c, encoded, (uint64_t)features.width, (uint64_t)features.height, image);
    if (st)
        return st;
    return webp.WebPDecodeRGBInto(encoded.data, encoded.size_bytes, image->rgb,
                             (size_t)(3 * image->width * image->height), 3 * features.width)
               ? INGOT_OK
               : INGOT_BAD_INPUT;
}
