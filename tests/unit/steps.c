/* steps.c - the kernels that a plan has chosen: steps MODEL [NAME=N,N,...]... plans for inputs of these shapes, all
 * zeros, and prints the kernel of each step on a line. It is what `ingot profile` tells, without measuring anything. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ingot.h"

/* Bind zeros of the shape that NAME=N,N,... says; they stay until the program ends. */
static ingot_status bind(const ingot_model *model, ingot_session *session, char *text, ingot_error *error)
{
    ingot_tensor *tensor = calloc(1, sizeof *tensor);
    char *shape = strchr(text, '=');
    if (!tensor || !shape)
        return INGOT_USAGE;
    *shape++ = '\0';
    for (size_t i = 0; i < ingot_model_n_inputs(model); i++)
        if (!strcmp(ingot_model_input(model, i)->name, text))
            tensor->dtype = ingot_model_input(model, i)->dtype;
    for (char *size = strtok(shape, ","); size && tensor->rank < INGOT_MAX_RANK; size = strtok(NULL, ","))
        tensor->shape[tensor->rank++] = atoll(size);
    const ingot_status status = ingot_tensor_alloc(tensor, error);
    return status ? status : ingot_session_set_input(session, text, tensor, error);
}

/* Exits with the status. */
int main(int argc, char **argv)
{
    ingot_error error = {0};
    ingot_model *model = NULL;
    ingot_session *session = NULL;
    ingot_step_info step;
    ingot_status status = argc < 2 ? INGOT_USAGE : ingot_model_load(argv[1], NULL, &model, &error);
    if (!status)
        status = ingot_session_create(model, NULL, &session, &error);
    for (int i = 2; i < argc && !status; i++)
        status = bind(model, session, argv[i], &error);
    if (!status)
        status = ingot_session_plan(session, &error);
    for (size_t i = 0; !status && ingot_session_step(session, i, &step); i++)
        puts(step.kernel);
    if (status)
        fprintf(stderr, "%s\n", error.message);
    return (int)status;
}
