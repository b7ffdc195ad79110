import Attention
import AttentionCore
import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Layers

/// Attention to latent rows against its definition in Double: every row alone, every head by its own maps.
@Suite struct LatentAttentionTests {
  typealias Matrix = [[Double]]

  /// The equations of DeepSeek-V2 over the parameters by name.
  struct Definition {
    let bench: Bench, configuration: LayerConfiguration, softcap: Double?

    func parameter(_ name: String) -> [Double]? {
      bench.layout.slots.first { $0.name == "a." + name }.map(bench.values)
    }
    /// `x·Wᵀ + b`.
    func linear(_ name: String, _ x: Matrix) throws -> Matrix {
      let w = try #require(parameter(name + ".weight")), b = parameter(name + ".bias")
      var result: Matrix = []
      for row in x {
        var y: [Double] = []
        for o in 0..<w.count / row.count {
          var sum = b?[o] ?? 0
          for i in row.indices { sum += w[o * row.count + i] * row[i] }
          y.append(sum)
        }
        result.append(y)
      }
      return result
    }
    func rms(_ name: String, _ x: Matrix) throws -> Matrix {
      let gain = try #require(parameter(name + ".weight"))
      return x.map { row in
        var squares = 0.0
        for value in row { squares += value * value }
        let size = (squares / Double(row.count) + configuration.epsilon).squareRoot()
        return zip(row, gain).map { $0 / size * $1 }
      }
    }
    func turned(_ x: [Double], at position: Int) -> [Double] {
      let half = x.count / 2, isInterleaved = configuration.position == .ropeInterleaved
      var y = x
      for pair in 0..<half {
        let (a, b) = isInterleaved ? (2 * pair, 2 * pair + 1) : (pair, pair + half)
        let angle = Double(position) * pow(10_000, -2 * Double(pair) / Double(x.count))
        y[a] = x[a] * cos(angle) - x[b] * sin(angle)
        y[b] = x[b] * cos(angle) + x[a] * sin(angle)
      }
      return y
    }

    /// The layer's output on one sequence.
    func output(_ x: Matrix, isCausal: Bool) throws -> Matrix {
      let d = configuration.headDim, r = configuration.effectiveRopeWidth
      let asking =
        configuration.queryLatent > 0 ? try rms("queryNorm", linear("queryLatent", x)) : x
      let q = try linear("query", asking), qr = r > 0 ? try linear("queryRope", asking) : []
      let c = try rms("latentNorm", linear("latent", x)), kr = r > 0 ? try linear("keyRope", x) : []
      let k = try linear("key", c), v = try linear("value", c)
      var merged = Matrix(repeating: [], count: x.count)
      for head in 0..<configuration.heads {
        func part(_ rows: Matrix, _ i: Int, _ width: Int) -> [Double] {
          Array(rows[i][head * width..<(head + 1) * width])
        }
        for i in x.indices {
          let query = part(q, i, d) + (r > 0 ? turned(part(qr, i, r), at: i) : [])
          let seen = isCausal ? 0...i : 0...x.count - 1
          let scores = seen.map { j in
            let key = part(k, j, d) + (r > 0 ? turned(kr[j], at: j) : [])
            let s = zip(query, key).map(*).reduce(0, +) / Double(d + r).squareRoot()
            return softcap.map { $0 * tanh(s / $0) } ?? s
          }
          let largest = scores.max() ?? 0, weights = scores.map { exp($0 - largest) }
          let sum = weights.reduce(0, +)
          for e in 0..<d {
            var mean = 0.0
            for j in seen { mean += weights[j] / sum * v[j][head * d + e] }
            merged[i].append(mean)
          }
        }
      }
      return try linear("output", merged)
    }
  }

  static func configuration(_ latent: Int, _ queryLatent: Int, _ position: LayerConfiguration.Position)
    -> LayerConfiguration
  {
    var configuration = LayerConfiguration()
    (configuration.width, configuration.heads, configuration.position) = (12, 3, position)
    (configuration.latent, configuration.queryLatent) = (latent, queryLatent)
    if configuration.isRotary { configuration.ropeWidth = 6 }
    return configuration
  }

  @Test(
    "outputs are those of the definition",
    arguments: [
      (configuration(5, 0, .rope), "full", true), (configuration(5, 7, .ropeInterleaved), "full", true),
      (configuration(1, 1, .rope), "full-materialized", false), (configuration(24, 0, .none), "full", false),
      (configuration(4, 3, .rope), "full(softcap=0.7)", true),
    ], [1, 2, 63, 64, 65])
  func definition(_ layer: (LayerConfiguration, attention: String, isCausal: Bool), _ length: Int) throws {
    var layout = ParameterLayout()
    let attention = try LayerAttention.parse(layer.attention)[0]
    let built = AttentionLayer(
      "a", layer.0, attention: attention, isCausal: layer.isCausal, isCross: false,
      operands: try Catalog.standard.operands(of: attention), gain: 1, in: &layout)
    let bench = try Bench(layout)
    let lengths = [length, (length + 1) / 2]
    let x = try Tensor.normal([2 * length, 12], key: RandomKey(seed: 1))
    var run = bench.run.over(batch: 2, lengths: lengths)
    run.isDifferentiated = false
    let found = Rows.of(try built.forward(x, run).output), rows = Rows.of(x)
    let definition = Definition(
      bench: bench, configuration: layer.0, softcap: layer.attention.contains("softcap") ? 0.7 : nil)
    for sequence in 0..<2 {
      let own = sequence * length..<sequence * length + lengths[sequence]
      let expected = try definition.output(Array(rows[own]), isCausal: layer.isCausal)
      #expect(Rows.error(Array(found[own]), expected) < 1e-5, "sequence \(sequence)")
    }
  }
}
