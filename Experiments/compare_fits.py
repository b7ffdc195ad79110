#!/usr/bin/env python3
"""Compare `attnlab fit` with lmfit and scipy on random problems of known truth.

Optional: nothing in the package needs it. With lmfit and scipy installed:

    python3 Experiments/compare_fits.py --attnlab .build/release/attnlab --problems 40

Each problem is a law, a design, noise and a loss drawn at random. The peers start at the truth, which no user can;
ours gets no start. Reported: the largest relative difference of estimates, of standard errors (squares only) and
of the objective, and whether ours is ever worse. Exit code 1 when a problem disagrees.
"""
import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

import lmfit
import numpy as np
from scipy.optimize import least_squares

# name, formula for attnlab, function, parameter names, drawing of the truth, drawing of x, space
def laws(rng):
    u = rng.uniform
    log_x = lambda n, lo, hi: np.exp(rng.uniform(np.log(lo), np.log(hi), n))
    return {
        "power": ("--form", "power", lambda p, x: p["a"] * x["x"] ** p["b"],
                  {"a": 10 ** u(-8, 3), "b": u(-2, 3)}, {"x": log_x(14, 16, 1e5)}, "log", 0.03),
        "power-offset": ("--form", "power-offset", lambda p, x: p["a"] * x["x"] ** p["b"] + p["c"],
                         {"a": 10 ** u(-6, -4), "b": u(1.2, 2.5), "c": u(0.05, 0.5)},
                         {"x": log_x(25, 8, 5e3)}, "log", 0.02),
        "power-decay": ("--form", "power-decay", lambda p, x: p["a"] * x["x"] ** (-p["b"]) + p["c"],
                        {"a": u(200, 600), "b": u(0.25, 0.45), "c": u(1, 2)}, {"x": log_x(40, 1e6, 1e10)}, "log", 0.004),
        "quadratic": ("--form", "quadratic", lambda p, x: p["a"] + p["b"] * x["x"] + p["c"] * x["x"] ** 2,
                      {"a": u(5, 50), "b": u(0.1, 1), "c": 10 ** u(-5, -3)}, {"x": log_x(20, 16, 8e3)}, "log", 0.03),
        "nlogn": ("--form", "nlogn", lambda p, x: p["a"] + p["b"] * x["x"] * np.log(x["x"]),
                  {"a": u(5, 50), "b": u(0.1, 1)}, {"x": log_x(20, 16, 8e3)}, "raw", 5.0),
        "chinchilla": ("--form", "chinchilla",
                       lambda p, x: p["E"] + p["A"] / x["N"] ** p["alpha"] + p["B"] / x["D"] ** p["beta"],
                       {"E": u(1.5, 2), "A": u(200, 800), "B": u(500, 4000), "alpha": u(.3, .4), "beta": u(.3, .4)},
                       {"N": log_x(120, 3e7, 1e10), "D": log_x(120, 1e9, 1e12)}, "log", 0.004),
        "decay": ("--formula", "a*exp(-b*x) + c", lambda p, x: p["a"] * np.exp(-p["b"] * x["x"]) + p["c"],
                  {"a": u(1, 9), "b": u(0.3, 2), "c": u(0.5, 2)}, {"x": rng.uniform(0, 5, 40)}, "raw", 0.05),
        "logistic": ("--formula", "a/(1+exp(b-c*x))", lambda p, x: p["a"] / (1 + np.exp(p["b"] - p["c"] * x["x"])),
                     {"a": u(20, 90), "b": u(1, 4), "c": u(0.5, 2)}, {"x": rng.uniform(0, 8, 40)}, "raw", 0.5),
        "saturation": ("--formula", "v*x/(k+x)", lambda p, x: p["v"] * x["x"] / (p["k"] + x["x"]),
                       {"v": u(1, 9), "k": u(5, 50)}, {"x": log_x(30, 1, 500)}, "log", 0.03),
        "peak": ("--formula", "a*exp(-((x-m)/s)^2) + c",
                 lambda p, x: p["a"] * np.exp(-((x["x"] - p["m"]) / p["s"]) ** 2) + p["c"],
                 {"a": u(3, 9), "m": u(3, 7), "s": u(0.8, 2), "c": u(0.5, 1)}, {"x": rng.uniform(0, 10, 60)}, "raw", 0.1),
    }


def peers(law, truth, x, y, space, loss, delta):
    """Estimates, standard errors and the summed loss, by lmfit (squares) and scipy (squares, Huber)."""
    names = list(truth)
    model = law[2]
    scale = {k: abs(v) for k, v in truth.items()}

    def residual(vector):
        p = {k: v * scale[k] for k, v in zip(names, vector)}
        with np.errstate(all="ignore"):
            f = model(p, x)
            r = np.log(f) - np.log(y) if space == "log" else f - y
        return np.where(np.isfinite(r), r, 1e6)

    start = [truth[k] / scale[k] for k in names]
    method = dict(x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=20000)
    if loss == "huber":
        found = least_squares(residual, start, loss="huber", f_scale=delta, jac="3-point", **method)
        found = least_squares(residual, found.x, loss="huber", f_scale=delta, jac="3-point", **method)
    else:
        found = least_squares(residual, start, jac="3-point", **method)
    result = {"scipy": ({k: v * scale[k] for k, v in zip(names, found.x)}, None, found.cost)}
    if loss == "squares":
        parameters = lmfit.Parameters()
        for k in names:
            parameters.add(k, value=truth[k])
        fit = lmfit.minimize(lambda p: residual([p[k].value / scale[k] for k in names]), parameters, method="leastsq",
                             xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=50000)
        errors = {k: fit.params[k].stderr for k in names}
        result["lmfit"] = ({k: fit.params[k].value for k in names}, errors, 0.5 * fit.chisqr)
    return result


def ours(program, law, x, y, space, loss, delta, folder):
    path = os.path.join(folder, "data.csv")
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(list(x) + ["y"])
        for i in range(len(y)):
            writer.writerow([repr(float(x[k][i])) for k in x] + [repr(float(y[i]))])
    command = [program, "fit", path, "--y", "y", law[0], law[1], "--space", space, "--loss", loss, "--interval",
               "wald" if loss == "squares" else "sandwich", "--json"]
    if law[0] == "--form":
        command += ["--x", ",".join(x)]
    if loss == "huber":
        command += ["--delta", repr(delta)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)["fits"][0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    worst = {"value": 0.0, "error": 0.0, "objective": 0.0}
    bad = better = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.problems):
            name = list(laws(rng))[number % 10]
            law = laws(rng)[name]
            truth, x, space, noise = law[3], law[4], law[5], law[6]
            clean = law[2](truth, x)
            n = len(clean)
            wobble = rng.standard_normal(n)
            loss = "huber" if number % 3 == 2 else "squares"
            if loss == "huber":
                wobble[rng.integers(0, n, max(1, n // 20))] *= 8
            delta = noise if loss == "huber" else None
            y = clean * np.exp(noise * wobble) if space == "log" else clean + noise * wobble
            fit = ours(arguments.attnlab, law, x, y, space, loss, delta, folder)
            for peer, (values, errors, cost) in peers(law, truth, x, y, space, loss, delta).items():
                mine = {k: v["value"] for k, v in fit["parameters"].items()}
                # A sign that the law cannot see is no difference.
                value = max(abs(abs(mine[k]) - abs(values[k])) / abs(values[k]) for k in values)
                objective = (fit["objective"] - cost) / cost
                error = 0.0
                if errors and all(errors.values()):
                    error = max(abs(fit["parameters"][k]["standard_error"] / errors[k] - 1) for k in errors)
                agrees = value < 1e-5 and error < 1e-2 and fit["converged"]
                if not agrees and objective < -1e-12:
                    better += 1  # the peer stopped short of the minimum that ours reached
                    verdict = "ours is lower"
                elif not agrees:
                    bad += 1
                    verdict = "DIFFERS"
                else:
                    verdict = "agrees"
                    worst = {"value": max(worst["value"], value), "error": max(worst["error"], error),
                             "objective": max(worst["objective"], abs(objective))}
                if arguments.verbose or verdict != "agrees":
                    print(f"{number:3d} {name:13s} {space:3s} {loss:8s} {peer:6s} values {value:.1e} errors {error:.1e} "
                          f"objective {objective:+.1e} {verdict}")
    print(f"{arguments.problems} problems against lmfit {lmfit.__version__} and scipy: largest difference of estimates "
          f"{worst['value']:.1e}, of standard errors {worst['error']:.1e}, of objectives {worst['objective']:.1e}; "
          f"ours lower in {better}, different in {bad}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
