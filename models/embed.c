/* embed.c - a program that runs MyNet through libingot: draws a digit, asks the network, prints what it saw.
 *
 *     cc embed.c $(pkg-config --cflags --libs ingot) -o embed && ./embed MyNet.onnx
 */
#include <ingot.h>
#include <stdio.h>

enum { CHANNELS = 3, SIDE = 32, SCALE = 4, CLASSES = 10 };
static const char *const drawing[SIDE / SCALE] = {
    "  ####  ",
    " ##  ## ",
    "     ## ",
    "    ##  ",
    "   ##   ",
    "  ##    ",
    " ###### ",
    " ###### ",
};
static float pixels[CHANNELS][SIDE][SIDE]; /* 0 to 1 */

static ingot_status classify(ingot_session *session, ingot_error *error)
{
    const ingot_tensor x = { .dtype = INGOT_FLOAT, .rank = 4, .shape = { 1, CHANNELS, SIDE, SIDE }, .data = pixels };
    for (int c = 0; c < CHANNELS; c++)
        for (int row = 0; row < SIDE; row++)
            for (int column = 0; column < SIDE; column++)
                pixels[c][row][column] = drawing[row / SCALE][column / SCALE] == '#' ? 1.0f : 0.0f;

    ingot_status status = ingot_session_set_input(session, "x", &x, error); /* nothing is copied */
    if (!status)
        status = ingot_session_run(session, error);
    if (status)
        return status;

    const float *score = ingot_session_output(session, 0)->data; /* (1, 10) */
    int best = 0;
    for (int i = 1; i < CLASSES; i++)
        if (score[i] > score[best])
            best = i;
    printf("this looks like a %d (score %.2f)\n", best, (double)score[best]);
    return INGOT_OK;
}

int main(int argc, char **argv)
{
    ingot_error error;
    ingot_model *model = NULL;
    ingot_session *session = NULL;
    ingot_status status = ingot_model_load(argc > 1 ? argv[1] : "models/MyNet.onnx", NULL, &model, &error);
    if (!status)
        status = ingot_session_create(model, NULL, &session, &error);
    if (!status)
        status = classify(session, &error);
    if (status)
        fprintf(stderr, "embed: %s\n", error.message);
    ingot_session_free(session);
    ingot_model_free(model);
    return (int)status;
}
