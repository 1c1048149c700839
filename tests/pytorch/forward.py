#!/usr/bin/python3
"""StainGrid's network in PyTorch, written from the design and the paper, to check the C# one against.

    forward.py MODEL.safetensors PATCHES.f32 N S H W OUTPUT_FOLDER

PATCHES.f32 holds N*S*H*W little-endian float32. Written to OUTPUT_FOLDER, in the same form: features.f32, [N, features, H, W],
and for each label LABEL.f32, its logits, [N, levels, H, W]. Needs torch (1.13 or later) and numpy, nothing else.
"""
import json
import os
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional


def read_safetensors(path):
    """The tensors, as float32 or int64, and the metadata."""
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size].decode("utf-8"))
    metadata = header.pop("__metadata__", {})
    body = memoryview(data)[8 + size:]
    state = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = body[begin:end]
        if entry["dtype"] == "F32":
            array = numpy.frombuffer(raw, "<f4")
        elif entry["dtype"] == "F16":
            array = numpy.frombuffer(raw, "<f2").astype("<f4")
        elif entry["dtype"] == "BF16":
            array = (numpy.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        elif entry["dtype"] == "I64":
            array = numpy.frombuffer(raw, "<i8")
        else:
            raise SystemExit(f"{path}: {name} has type {entry['dtype']}")
        state[name] = torch.from_numpy(array.copy()).reshape(entry["shape"])
    return state, metadata


class Layer(nn.Module):
    """3x3 convolution, batch norm, ReLU; dropout does nothing in evaluation."""

    def __init__(self, before, after):
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class Block(nn.Module):
    """DB(L): each layer on all before it; 1x1 convolution at the end. Plain: each layer on the last only."""

    def __init__(self, net, width, count):
        super().__init__()
        self.dense = net["block"] == "Dense"
        growth = net["growth"]
        self.layers = nn.ModuleList()
        for k in range(count):
            seen = width + k * growth
            self.layers.append(Layer(seen, growth if self.dense else seen + growth))
        self.width = width + count * growth
        self.transition = nn.Conv2d(self.width, self.width, 1, bias=False)

    def forward(self, x):
        if not self.dense:
            for layer in self.layers:
                x = layer(x)
            return self.transition(x)
        known = [x]
        for layer in self.layers:
            known.append(layer(torch.cat(known, dim=1)))
        return self.transition(torch.cat(known, dim=1))


def spatial(kind, before, after):
    """The 3x3 convolution that gives an output of half, the same or double the size."""
    if kind == "up":
        return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1, bias=False)
    return nn.Conv2d(before, after, 3, stride=2 if kind == "down" else 1, padding=1, bias=False)


class Attention(nn.Module):
    """A GPT layer: O = V softmax(K^T Q / sqrt(c)); residual: batch norm and ReLU before, Q added."""

    CHUNK = 1024  # queries at a time: the whole score matrix would be a quarter of a gigabyte

    def __init__(self, residual, kind, before, after):
        super().__init__()
        self.residual = residual
        if residual:
            self.norm = nn.BatchNorm2d(before)
        self.query = spatial(kind, before, after)
        self.key = nn.Conv2d(before, after, 1, bias=False)
        self.value = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x):
        if self.residual:
            x = torch.relu(self.norm(x))
        q = self.query(x)
        n, c, rows, columns = q.shape
        keys = self.key(x).reshape(n, c, -1)
        values = self.value(x).reshape(n, c, -1)
        parts = []
        for part in q.reshape(n, c, -1).split(self.CHUNK, dim=2):
            scores = torch.einsum("ncq,nck->nqk", part, keys) / c ** 0.5
            parts.append(torch.einsum("nqk,nck->ncq", functional.softmax(scores, dim=2), values))
        o = torch.cat(parts, dim=2).reshape(n, c, rows, columns)
        return o + q if self.residual else o


class Convolution(nn.Module):
    """The ablation in a GPT layer's place."""

    def __init__(self, kind, before, after):
        super().__init__()
        self.conv = spatial(kind, before, after)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


def resampler(net, kind, before, after):
    if net["resampling"] == "Convolution":
        return Convolution(kind, before, after)
    return Attention(net["variant"] == "Residual", kind, before, after)


class Network(nn.Module):
    def __init__(self, net, labels):
        super().__init__()
        width = net["stem_channels"]
        self.stem = nn.Conv2d(len(net["patch_scales"]), width, 1, bias=False)
        self.encoder, self.decoder, kept = nn.ModuleList(), nn.ModuleList(), []
        for count in net["encoder_layers"]:
            dense = Block(net, width, count)
            width = dense.width
            kept.append(width)
            self.encoder.append(nn.ModuleDict({"dense": dense, "down": resampler(net, "down", width, width)}))
        dense = Block(net, width, net["bottom_layers"])
        width = dense.width
        self.bottom = nn.ModuleDict({"dense": dense, "same": resampler(net, "same", width, width)})
        for count in net["decoder_layers"]:
            joined = width // 2 + kept.pop()
            dense = Block(net, joined // 2, count)
            self.decoder.append(nn.ModuleDict({
                "up": resampler(net, "up", width, width // 2),
                "fuse": nn.Conv2d(joined, joined // 2, 1, bias=False),
                "dense": dense}))
            width = dense.width
        self.heads = nn.ModuleDict({label: nn.Conv2d(width, net["levels"], 1) for label in labels})

    def forward(self, x):
        x = self.stem(x)
        kept = []
        for stage in self.encoder:
            kept.append(stage["dense"](x))
            x = stage["down"](kept[-1])
        x = self.bottom["same"](self.bottom["dense"](x))
        for stage in self.decoder:
            x = torch.cat([stage["up"](x), kept.pop()], dim=1)
            x = stage["dense"](stage["fuse"](x))
        return x


def main(model, patches, *rest):
    shape, folder = [int(side) for side in rest[:4]], rest[4]
    state, metadata = read_safetensors(model)
    labels = [label["name"] for label in json.loads(metadata["staingrid.labels"])]
    network = Network(json.loads(metadata["staingrid.network"]), labels)
    network.load_state_dict(state, strict=True)
    network.eval()
    with torch.no_grad():
        features = network(torch.from_numpy(numpy.fromfile(patches, "<f4")).reshape(shape))
        features.numpy().astype("<f4").tofile(os.path.join(folder, "features.f32"))
        for label in labels:
            network.heads[label](features).numpy().astype("<f4").tofile(os.path.join(folder, f"{label}.f32"))


if __name__ == "__main__":
    if len(sys.argv) != 8:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
