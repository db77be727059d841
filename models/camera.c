/* camera.c - a loop like a camera's: frames arrive one by one or a few at once, and each batch goes through one
 * session. A plan is made when a size of batch comes for the first time, and kept.
 *
 *     cc camera.c $(pkg-config --cflags --libs ingot) -o camera && ./camera MyNet.onnx
 */
#include <ingot.h>
#include <stdio.h>

enum { CHANNELS = 3, SIDE = 32, MOST_FRAMES = 4, CLASSES = 10 };

static float frames[MOST_FRAMES][CHANNELS][SIDE][SIDE];

/* Stands for the camera: how many frames are waiting, at the given tick. A bright bar moves through the picture. */
static int wait_for_frames(int tick)
{
    const int n = 1 + tick % MOST_FRAMES;
    for (int f = 0; f < n; f++)
        for (int c = 0; c < CHANNELS; c++)
            for (int row = 0; row < SIDE; row++)
                for (int column = 0; column < SIDE; column++)
                    frames[f][c][row][column] = (column + tick + f) % SIDE / 4 == 3 ? 1.0f : 0.0f;
    return n;
}

/* Index of the largest score. */
static int best_of(const float *scores)
{
    int best = 0;
    for (int i = 1; i < CLASSES; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}

static ingot_status watch(ingot_session *session, ingot_error *error)
{
    ingot_status status = INGOT_OK;
    for (int tick = 0; tick < 12 && !status; tick++) {
        const int n = wait_for_frames(tick);
        const ingot_tensor x = { .dtype = INGOT_FLOAT, .rank = 4, .shape = { n, CHANNELS, SIDE, SIDE },
                                 .data = frames };
        if ((status = ingot_session_set_input(session, "x", &x, error)) || (status = ingot_session_run(session, error)))
            return status;
        const float *scores = ingot_session_output(session, 0)->data; /* (n, 10); read before the next run */
        printf("tick %d: %d frames:", tick, n);
        for (int f = 0; f < n; f++)
            printf(" %d", best_of(scores + f * CLASSES));
        putchar('\n');
    }
    return status;
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
        status = watch(session, &error);
    if (status)
        fprintf(stderr, "camera: %s\n", error.message);
    ingot_session_free(session);
    ingot_model_free(model);
    return (int)status;
}
