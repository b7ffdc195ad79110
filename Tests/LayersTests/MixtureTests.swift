import AttentionCore
import Basics
import Experts
import Foundation
import Settings
import Tensors
import Testing

@testable import Layers

/// Layers of experts against their definition in Double, row by row.
@Suite struct MixtureTests {
  static let lines = [
    "routed(experts=5, chosen=2, hidden=4)", "routed(experts=5, chosen=3, renormalize=false, factor=1.7)",
    "routed(experts=4, chosen=4, scores=sigmoid, renormalize=false)", "routed(experts=3, chosen=1)",
    "routed(experts=6, chosen=2, scores=sigmoid, correction=true, groups=3, groups_chosen=2, factor=2.5, shared=3)",
    "routed(experts=5, chosen=2, scores=softmax-chosen, router_bias=true, bias=true, clamp=0.3, alpha=1.2)",
    "routed(experts=4, chosen=2, shared=5, shared_gate=true)", "routed(experts=1, chosen=1, scores=sigmoid)",
  ]

  static func layer(_ line: String) throws -> (MixtureOfExperts, Bench) {
    var c = LayerConfiguration()
    (c.width, c.heads, c.hidden, c.feedForward, c.bias) = (6, 2, 7, .swiglu, false)
    c.experts = try LayerConfiguration.experts(reading: line)
    var layout = ParameterLayout()
    let layer = MixtureOfExperts("e", try #require(c.experts[0]), c, gain: 1, in: &layout)
    return (layer, try Bench(layout))
  }

  static func sigma(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  /// What one expert makes of a row.
  static func unit(_ layer: MixtureOfExperts, _ inner: Linear, _ outer: Linear, _ x: [Double], _ bench: Bench)
    -> [Double]
  {
    let both = bench.apply(inner, x), half = both.count / 2
    let after = (0..<half).map { i -> Double in
      let g = both[i], u = both[half + i]
      guard case .clamped(let alpha, let most) = layer.unit, inner.weight.name.contains("experts") else {
        return g * sigma(g) * u
      }
      let held = min(g, most)
      return (min(max(u, -most), most) + 1) * held * sigma(alpha * held)
    }
    return bench.apply(outer, after)
  }

  static func definition(_ layer: MixtureOfExperts, _ x: [Double], _ bench: Bench) -> [Double] {
    let m = layer.mixture, z = bench.apply(layer.router, x)
    let sum = z.reduce(0) { $0 + exp($1) }
    let values = m.scores == .softmax ? z.map { exp($0) / sum } : m.scores == .sigmoid ? z.map(sigma) : z
    var ranked = values
    if let slot = layer.correction { ranked = zip(values, bench.values(slot)).map(+) }
    let size = m.experts / m.groups
    if m.groupsChosen < m.groups {
      let best = (0..<m.groups).map { g in
        ranked[g * size..<(g + 1) * size].sorted(by: >).prefix(2).reduce(0, +)
      }
      let open = best.indices.sorted { best[$0] > best[$1] }.prefix(m.groupsChosen)
      for e in ranked.indices where !open.contains(e / size) { ranked[e] = -.infinity }
    }
    let chosen = ranked.indices.sorted { ranked[$0] > ranked[$1] }.prefix(m.chosen)
    var weights = chosen.map { m.scores == .softmaxChosen ? exp(z[$0]) : values[$0] }
    if m.renormalize || m.scores == .softmaxChosen {
      let all = weights.reduce(0, +)
      weights = weights.map { $0 / all }
    }
    var y = [Double](repeating: 0, count: x.count)
    for (w, e) in zip(weights, chosen) {
      let own = unit(layer, layer.experts[e].inner, layer.experts[e].outer, x, bench)
      for i in y.indices { y[i] += m.factor * w * own[i] }
    }
    guard let shared = layer.shared else { return y }
    let own = unit(layer, shared.inner, shared.outer, x, bench)
    let gate = layer.sharedGate.map { sigma(bench.apply($0, x)[0]) } ?? 1
    return zip(y, own).map { $0 + gate * $1 }
  }

  @Test("rows are weighed sums of what their experts make", arguments: lines)
  func rows(line: String) throws {
    let (layer, bench) = try Self.layer(line)
    let x = try Tensor.normal([23, 6], key: RandomKey(seed: 3), standardDeviation: 1.5)
    let y = try layer.forward(x, bench.run).output
    #expect(Rows.error(Rows.of(y), Rows.of(x).map { Self.definition(layer, $0, bench) }) < 3e-6)
    let more = try layer.forward(x, adding: x, bench.run).output
    #expect(Rows.error(Rows.of(more), zip(Rows.of(y), Rows.of(x)).map { zip($0, $1).map(+) }) < 1e-6)
  }

  @Test("the way back is that of difference quotients", arguments: lines)
  func gradients(line: String) throws {
    let (layer, bench) = try Self.layer(line)
    let x = try Tensor.normal([11, 6], key: RandomKey(seed: 4), standardDeviation: 1)
    let dy = try Tensor.normal([11, 6], key: RandomKey(seed: 5), standardDeviation: 1)
    let dx = try layer.forward(x, bench.run).pullback(dy)
    let rows = Rows.of(x), weights = Rows.of(dy)
    func loss(_ rows: [[Double]]) -> Double {
      zip(rows, weights).reduce(0) { total, pair in
        total + zip(Self.definition(layer, pair.0, bench), pair.1).reduce(0) { $0 + $1.0 * $1.1 }
      }
    }
    let step = 1e-5
    var slopes: [[Double]] = []
    for row in rows.indices {
      slopes.append(
        rows[row].indices.map { column in
          var (up, down) = (rows, rows)
          up[row][column] += step
          down[row][column] -= step
          return (loss(up) - loss(down)) / (2 * step)
        })
    }
    #expect(Rows.error(Rows.of(dx), slopes) < 2e-5)
  }

  @Test("the bits do not depend on the number of threads")
  func threads() throws {
    let (layer, bench) = try Self.layer(Self.lines[4])
    let x = try Tensor.normal([301, 6], key: RandomKey(seed: 6), standardDeviation: 1)
    let serial = LayerRun(
      state: bench.run.state, context: .recycling(threads: 1), planner: bench.run.planner, training: false,
      key: bench.run.key)
    #expect(try layer.forward(x, bench.run).output.array() == layer.forward(x, serial).output.array())
  }

  @Test(
    "what no mixture can be is one line",
    arguments: [
      ("routed(experts=4, chosen=5)", "chosen: 5 is not allowed; it takes at most the 4 experts"),
      ("routed(experts=4, groups=3)", "groups: 3 is not allowed; it takes a divisor of the 4 experts"),
      ("routed(experts=4, groups=2, groups_chosen=1)", "scores: softmax is not allowed; it takes sigmoid"),
      (
        "routed(shared_gate=true)", "shared_gate: true is not allowed; it takes false without a shared expert"
      ),
      ("sparse", "experts: sparse is not allowed; it takes dense, or routed(…)"),
      ("routed(top=2)", "top: an unknown parameter"),
    ])
  func mistakes(line: String, part: String) {
    #expect {
      try LayerConfiguration.experts(reading: line)
    } throws: {
      "\($0)".contains(part) && !"\($0)".contains("\n")
    }
  }

  @Test(
    "a line of layers is read as it is written", arguments: lines + ["dense", "dense x3, routed(experts=16)"])
  func line(line: String) throws {
    var c = LayerConfiguration()
    c.experts = try LayerConfiguration.experts(reading: line)
    #expect(try LayerConfiguration.experts(reading: c.expertsLine) == c.experts)
  }
}
