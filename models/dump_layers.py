"""Write inputs, outputs and every module's output of a PyTorch model to one file that `ingot verify` reads.

    from dump_layers import dump_layers
    dump_layers(model, (x,), "dump.pt")                       # model: any torch.nn.Module, in eval mode
    # then: ingot verify model.onnx dump.pt --layers dump.pt

The file is a plain torch.save of {"inputs": [...], "outputs": [...], "layers": {path: tensor}}. A key is the module's path,
"layer1.0.conv1"; "@1" follows for its second call, ":1" for the second tensor of a tuple.
"""
import torch


def tensors(value):
    """The tensors of a module's result, in order: a tensor, or what tuples, lists, dicts and data classes hold."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        value = vars(value).values() if hasattr(value, "__dict__") else ()
    return [tensor for item in value for tensor in tensors(item)]


def keep(tensor):
    """A copy on the CPU: modules may write over their input in place."""
    return tensor.detach().cpu().clone().contiguous()


def dump_layers(model, inputs, path):
    """Run model(*inputs) in eval mode, without gradients, and write what it computed to `path` (.pt)."""
    layers, calls, hooks = {}, {}, []
    inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    given = [keep(tensor) for tensor in tensors(list(inputs))]

    def hook(name):
        def note(module, arguments, result):
            call = calls[name] = calls.get(name, -1) + 1
            results = tensors(result)
            for i, tensor in enumerate(results):
                key = name + (f"@{call}" if call else "") + (f":{i}" if len(results) > 1 else "")
                layers[key] = keep(tensor)
        return note

    was_training = model.training
    model.eval()
    try:
        for name, module in model.named_modules():
            if name:
                hooks.append(module.register_forward_hook(hook(name)))
        with torch.no_grad():
            outputs = model(*inputs)
    finally:
        for handle in hooks:
            handle.remove()
        model.train(was_training)
    torch.save({"inputs": given, "outputs": [keep(t) for t in tensors(outputs)], "layers": layers}, path)
