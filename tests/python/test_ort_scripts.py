"""Programs as onnxruntime's users write them: each runs with either module, only the import differs, and prints the same.

The first three follow the steps of onnxruntime's own introduction to Python; the others are what scripts around classifiers,
detectors, text models, servers and benchmarks do with a session.
"""
import os
import subprocess
import sys

import pytest

pytest.importorskip("ingot") if not os.environ.get("INGOT_BINDINGS") else __import__("ingot")

SCRIPTS = {
    "classify": ("mynet_ts_bn_dyn", """
session = ort.InferenceSession(path)
x = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
outputs = session.run(None, {session.get_inputs()[0].name: x})
print("predicted", outputs[0][0].argmax(0), outputs[0].shape, outputs[0].dtype)
"""),
    "names": ("mynet_ts_bn_dyn", """
sess = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
input_name, label_name = sess.get_inputs()[0].name, sess.get_outputs()[0].name
print(input_name, label_name, sess.get_inputs()[0].shape, sess.get_inputs()[0].type, sess.get_outputs()[0].shape)
pred = sess.run([label_name], {input_name: np.ones((3, 3, 32, 32)).astype(np.float32)})[0]
print(np.round(pred, 3).tolist())
"""),
    "text": ("bert2_ts", """
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
options.log_severity_level = 3
session = ort.InferenceSession(path, options, providers=ort.get_available_providers())
shape = lambda a: [d if isinstance(d, int) else 1 if i == 0 else 7 for i, d in enumerate(a.shape)]
tokens = {a.name: np.ones(shape(a), dtype=np.int64) for a in session.get_inputs()}
print([o.shape for o in session.run(output_names=None, input_feed=tokens)], sorted(tokens))
"""),
    "binding": ("mynet_ts_bn_dyn", """
session = ort.InferenceSession(path)
x = np.linspace(-1, 1, 2 * 3 * 32 * 32, dtype=np.float32).reshape(2, 3, 32, 32)
value = ort.OrtValue.ortvalue_from_numpy(x, "cpu", 0)
binding = session.io_binding()
binding.bind_input(name=session.get_inputs()[0].name, device_type=value.device_name(), device_id=0, element_type=np.float32,
                   shape=value.shape(), buffer_ptr=value.data_ptr())
y = np.zeros((2, 10), dtype=np.float32)
target = ort.OrtValue.ortvalue_from_numpy(y)
binding.bind_ortvalue_output(session.get_outputs()[0].name, target)
session.run_with_iobinding(binding)
print(binding.get_outputs()[0].shape(), binding.copy_outputs_to_cpu()[0].argmax(1).tolist(), np.abs(target.numpy()).max() > 0)
"""),
    "detector": ("yolo", """
class Detector:
    def __init__(self, path):
        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        available = ort.get_available_providers()
        self.session = ort.InferenceSession(path, providers=[p for p in wanted if p in available])
        self.meta = self.session.get_modelmeta().custom_metadata_map
        inputs = self.session.get_inputs()
        self.names = [i.name for i in inputs]
        self.height, self.width = inputs[0].shape[2], inputs[0].shape[3]
        self.outputs = [o.name for o in self.session.get_outputs()]

    def __call__(self, image):
        tensor = np.ascontiguousarray(image.transpose(2, 0, 1)[None] / 255.0, dtype=np.float32)
        return self.session.run(self.outputs, {self.names[0]: tensor})

detector = Detector(path)
image = np.random.default_rng(3).integers(0, 256, (detector.height, detector.width, 3), dtype=np.uint8)
print(type(detector.meta).__name__, detector.session.get_providers(), [o.shape for o in detector(image)])
"""),
    "server": ("gru", """
from concurrent.futures import ThreadPoolExecutor
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(open(path, "rb").read(), sess_options=options)
random = np.random.default_rng(1)
feed = {a.name: random.random([d if isinstance(d, int) else 2 for d in a.shape], dtype=np.float32) for a in session.get_inputs()}
first = session.run(None, feed)
with ThreadPoolExecutor(4) as pool:
    results = list(pool.map(lambda _: session.run(None, feed), range(50)))
print(all(np.array_equal(a, b) for r in results for a, b in zip(r, first)), [o.shape for o in first])
"""),
    "errors": ("mynet_ts_bn_dyn", """
session = ort.InferenceSession(path)
name = session.get_inputs()[0].name
for feed in ({name: np.ones((1, 3, 32, 32))}, {name: np.ones((3, 32, 32), np.float32)}, {}, {"nothing": np.ones(3, np.float32)}):
    try:
        session.run(None, feed)
        print("ran")
    except Exception as e:
        print("refused", name in str(e))
try:
    ort.InferenceSession("missing.onnx")
except Exception as e:
    print("missing.onnx" in str(e))
"""),
    "benchmark": ("mynet_ts_bn_dyn", """
import json, os, time
options = ort.SessionOptions()
options.enable_profiling = True
options.profile_file_prefix = "trace"
session = ort.InferenceSession(path, options)
run_options = ort.RunOptions()
run_options.log_severity_level = 4
feed = {session.get_inputs()[0].name: np.zeros((1, 3, 32, 32), np.float32)}
start = time.perf_counter()
for _ in range(5):
    session.run(None, feed, run_options)
print(time.perf_counter() > start)
file = session.end_profiling()
print(os.path.basename(file).startswith("trace"), any(e.get("args", {}).get("op_name") == "Conv" or "Conv" in e["name"] for e in json.load(open(file))))
"""),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name, corpus, tmp_path):
    model, body = SCRIPTS[name]
    path = os.path.join(corpus(model), "model.onnx")
    printed = []
    for module in ("onnxruntime", "ingot"):
        script = tmp_path / f"with_{module}.py"
        script.write_text(f"import sys\nimport numpy as np\nimport {module} as ort\npath = sys.argv[1]\n{body}")
        done = subprocess.run([sys.executable, str(script), path], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        printed.append(done.stdout)
    assert printed[0] == printed[1] and printed[0]
