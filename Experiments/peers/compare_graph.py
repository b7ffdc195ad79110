"""Graph attention against torch_geometric's GATConv and GATv2Conv, forward and all gradients, in float64.

Judge: torch_geometric 2.8.1. Random graphs with isolated nodes, edges that stand twice, self loops and sources that are no
targets (two sets of nodes). The layer's projections and its bias are applied here in float64; attnlab gets q, k and the
vectors in float32 and gives output and gradients, from which those of the projections follow as products.

  python compare_graph.py --attnlab .build/release/attnlab
"""
import argparse, pathlib, subprocess, sys, tempfile
import numpy as np
import torch
from torch_geometric.nn import GATConv, GATv2Conv

torch.set_default_dtype(torch.float64)


def error(found, expected):
    """The largest difference relative to the largest element."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-300))


def graph(generator, nodes, edges, sources=None):
    """Edges with repetitions and self loops; the last eighth of the nodes has none."""
    used = max(1, nodes - nodes // 8)
    pairs = generator.integers(0, [sources or used, used], size=(edges, 2))
    again = pairs[generator.integers(0, edges, edges // 10)]
    loops = np.repeat(np.arange(0, min(used, 5))[:, None], 2, 1)
    return np.concatenate([pairs, again, loops]).astype(np.int64)


def case(arguments, folder, name, conv, x, x_target, edges, heads, width, settings):
    generator = np.random.default_rng(3)
    conv = conv.double()
    source = torch.tensor(x, requires_grad=True)
    target = source if x_target is None else torch.tensor(x_target, requires_grad=True)
    inputs = source if x_target is None else (source, target)
    output = conv(inputs, torch.tensor(edges.T))
    d = torch.tensor(generator.normal(size=output.shape))
    output.backward(d)

    is_v2 = isinstance(conv, GATv2Conv)
    if is_v2:
        w_s, w_t = conv.lin_l, conv.lin_r
    else:
        w_s = conv.lin if conv.lin is not None else conv.lin_src
        w_t = conv.lin if conv.lin is not None else conv.lin_dst
    value = lambda t: t.detach().numpy()
    bias = lambda linear: 0 if linear.bias is None else value(linear.bias)
    x_t = x if x_target is None else x_target
    split = lambda y: y.reshape(len(y), heads, width).transpose(1, 0, 2)[None].astype(np.float32)
    k, q = split(x @ value(w_s.weight).T + bias(w_s)), split(x_t @ value(w_t.weight).T + bias(w_t))
    np.save(folder / "q.npy", q), np.save(folder / "k.npy", k), np.save(folder / "edges.npy", edges)
    d = d.numpy()
    d_heads = (np.repeat(d[:, None] / heads, heads, 1) if not conv.concat else d.reshape(len(d), heads, width))
    np.save(folder / "do.npy", d_heads.transpose(1, 0, 2)[None].astype(np.float32))
    vectors = (
        {"attention": conv.att} if is_v2 else {"attention_source": conv.att_src, "attention_target": conv.att_dst})
    command = [arguments.attnlab, "apply", "graph", "--q", "q.npy", "--k", "k.npy", "--out", "o.npy",
               "--grad-out", "do.npy", "--dq", "dq.npy", "--dk", "dk.npy", "--in", "edges=edges.npy"]
    for setting in [f"score={'gatv2' if is_v2 else 'gat'}"] + settings: command += ["--set", setting]
    for vector, parameter in vectors.items():
        np.save(folder / f"{vector}.npy", value(parameter)[0].astype(np.float32))
        command += ["--in", f"{vector}={vector}.npy", "--gradient", f"{vector}=d_{vector}.npy"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    load = lambda file: np.load(folder / file).astype(np.float64)
    join = lambda y: y[0].transpose(1, 0, 2).reshape(y.shape[2], -1)
    o = load("o.npy")[0].transpose(1, 0, 2)
    o = o.mean(1) if not conv.concat else o.reshape(len(o), -1)
    o = o + (value(conv.bias) if conv.bias is not None else 0)
    dk, dq = join(load("dk.npy")), join(load("dq.npy"))
    errors = {"output": error(o, value(output))}
    for vector, parameter in vectors.items():
        errors["d " + vector] = error(load(f"d_{vector}.npy"), value(parameter.grad)[0])
    if w_s is w_t:
        errors["d W"] = error(dk.T @ x + dq.T @ x, value(w_s.weight.grad))
    else:
        errors["d W source"] = error(dk.T @ x, value(w_s.weight.grad))
        errors["d W target"] = error(dq.T @ x_t, value(w_t.weight.grad))
    dx = dk @ value(w_s.weight)
    if x_target is None: dx = dx + dq @ value(w_t.weight)
    errors["d x"] = error(dx, source.grad.numpy())
    if x_target is not None: errors["d x target"] = error(dq @ value(w_t.weight), target.grad.numpy())
    if conv.bias is not None: errors["d bias"] = error(d.sum(0), value(conv.bias.grad))
    worst = max(errors.values())
    print(f"{name}: " + ", ".join(f"{key} {number:.1e}" for key, number in errors.items()))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--bound", type=float, default=1e-5)
    arguments = parser.parse_args()
    arguments.attnlab = str(pathlib.Path(arguments.attnlab).resolve())
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for seed, (nodes, edges, width, heads, out) in enumerate(
                [(1, 1, 4, 1, 8), (40, 150, 12, 3, 8), (257, 3000, 33, 8, 8), (500, 20000, 64, 4, 17), (2000, 9000, 16, 2, 64)]):
            generator = np.random.default_rng(seed)
            torch.manual_seed(seed)
            x = generator.normal(size=(nodes, width))
            pairs = graph(generator, nodes, edges)
            for kind in [GATConv, GATv2Conv]:
                for concat in [True, False]:
                    for loops in [True, False]:
                        conv = kind(width, out, heads=heads, concat=concat, add_self_loops=loops)
                        name = f"{kind.__name__} {nodes} nodes {len(pairs)} edges {heads}×{out}" \
                               f"{' concat' if concat else ' mean'}{' loops' if loops else ''}"
                        settings = [f"self_loops={'true' if loops else 'false'}"]
                        worst = max(worst, case(arguments, folder, name, conv, x, None, pairs, heads, out, settings))
                two = graph(generator, nodes, edges, sources=nodes + 7)
                conv = kind((width, width), out, heads=heads, add_self_loops=False)
                x_source = generator.normal(size=(nodes + 7, width))
                name = f"{kind.__name__} {nodes + 7} → {nodes} nodes {len(two)} edges {heads}×{out}"
                worst = max(worst, case(arguments, folder, name, conv, x_source, x, two, heads, out, ["self_loops=false"]))
    print(f"largest relative error {worst:.1e}, {arguments.bound:.0e} allowed")
    sys.exit(0 if worst <= arguments.bound else 1)


if __name__ == "__main__":
    main()
