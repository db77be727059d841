#!/usr/bin/env bash
# Runs the examples that one of the projects here has built: check.sh FOLDER MODELS. Prints what is wrong; exit code 1 then.
set -euo pipefail
built=$1 models=$2
expect()
{
    local said
    said=$("${@:2}" 2>&1) || { echo "$2 failed: $said"; exit 1; }
    grep -qE "$1" <<<"$said" || { echo "$2 said: $said"; exit 1; }
}
expect 'looks like a 2' "$built/embed" "$models/MyNet.onnx"
expect '4 frames, the first looks like a [0-9]' "$built/embed_cpp" "$models/MyNet.onnx"
expect 'tick 11: 4 frames:( [0-9]){4}$' "$built/camera" "$models/MyNet.onnx"
expect '2 models, 20 runs each, [12] threads in all' "$built/two_models" "$models/MyNet.onnx" "$models/MyNet.onnx"
expect '^3 6 9 12 after 1 call$' "$built/custom_operator" "$models/custom_operator.onnx"
expect '^3 6 9 12 $' "$built/custom_operator_cpp" "$models/custom_operator.onnx"
for program in embed embed_cpp camera two_models custom_operator custom_operator_cpp; do
    status=0
    said=$("$built/$program" nowhere.onnx 2>&1) || status=$?
    [ $status = 7 ] && grep -q nowhere.onnx <<<"$said" || { echo "$program nowhere.onnx: $status, $said"; exit 1; }
done
