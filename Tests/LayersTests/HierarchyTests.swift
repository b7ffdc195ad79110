import Attention
import AttentionCore
import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Hierarchies
@testable import Layers

/// Layers that read documents in segments, against their definitions: every segment, and every document, alone and in Double.
@Suite struct HierarchyTests {
  static var configuration: LayerConfiguration {
    var c = LayerConfiguration()
    (c.width, c.heads, c.hidden, c.position, c.maximumLength) = (12, 2, 20, .learned, 64)
    return c
  }

  // MARK: - Definitions in Double

  /// `Σ softmax(u_i·u_w) h_i`, `u_i = tanh(W h_i + b)`.
  static func pooled(_ layer: AttentionPooling, _ h: [[Double]], _ bench: Bench) -> [Double] {
    let query = bench.values(layer.query.slot)
    let scores = h.map { zip(bench.apply(layer.hidden, $0).map { tanh($0) }, query).map(*).reduce(0, +) }
    let top = scores.max() ?? 0, weights = scores.map { exp($0 - top) }, sum = weights.reduce(0, +)
    return (0..<(h.first?.count ?? query.count)).map { column in
      zip(weights, h).reduce(0) { $0 + $1.0 / sum * $1.1[column] }
    }
  }

  /// One direction after the other, step by step.
  static func recurrent(_ layer: GatedRecurrent, _ x: [[Double]], _ bench: Bench) -> [[Double]] {
    func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    let n = layer.width
    var result = [[Double]](repeating: [], count: x.count)
    for direction in layer.directions {
      var h = [Double](repeating: 0, count: n)
      for row in direction.isReversed ? x.indices.reversed() : Array(x.indices) {
        let a = bench.apply(direction.input, x[row]), s = bench.apply(direction.state, h)
        h = (0..<n).map { i in
          let r = sigmoid(a[i] + s[i]), z = sigmoid(a[n + i] + s[n + i])
          return (1 - z) * tanh(a[2 * n + i] + r * s[2 * n + i]) + z * h[i]
        }
        result[row] += h
      }
    }
    return result
  }

  /// Documents of segments of 1 to 9 rows; one document has no row.
  static let lengths = [13, 0, 1, 20]
  static func cut(_ length: Int) -> DocumentCut {
    let tokens = (0..<lengths.count * length).map { Int32($0 * 7 % 5) }
    return Segmentation(length: 9, separator: 3).cut(tokens, batch: lengths.count, lengths: lengths)
  }

  // MARK: - Tests

  @Test(
    "segments lie side by side, begin at separators and are no longer than they may be",
    arguments: [1, 2, 63, 64, 65, 257], [(0, 2), (1, -1), (7, -1), (5, 2), (0, -1)])
  func segments(count: Int, rule: (length: Int, separator: Int)) {
    var random = RandomKey(seed: 3)(count).generator()
    let tokens = (0..<count).map { _ in Int32(random.integer(below: 6)) }
    let segments = Segmentation(length: rule.length, separator: rule.separator).segments(of: tokens)
    #expect(segments.flatMap { Array($0) } == Array(0..<count))
    for segment in segments {
      #expect(rule.length == 0 || segment.count <= rule.length)
      #expect(!tokens[segment].dropFirst().contains { Int($0) == rule.separator })
      let isDue = segment.lowerBound == 0 || Int(tokens[segment.lowerBound]) == rule.separator
      #expect(
        isDue
          || (rule.length > 0
            && segments.contains { $0.upperBound == segment.lowerBound && $0.count == rule.length })
      )
    }
    #expect(Segmentation(length: 3).segments(of: [Int32]()).isEmpty)
  }

  @Test(
    "attention to a learned query is its definition, for any number of real rows",
    arguments: [1, 2, 63, 64, 65, 257])
  func pooling(length: Int) throws {
    var layout = ParameterLayout()
    let layer = AttentionPooling("pooling", width: 12, in: &layout)
    let bench = try Bench(layout)
    let lengths = [length, 0, (length + 1) / 2]
    let x = try Tensor.normal([3 * length, 12], key: RandomKey(seed: 1))
    let (y, _) = try layer.forward(x, bench.run.over(batch: 3, lengths: lengths))
    let rows = Rows.of(x)
    let expected = (0..<3).map {
      Self.pooled(layer, Array(rows[$0 * length..<$0 * length + lengths[$0]]), bench)
    }
    .map { $0.isEmpty ? [Double](repeating: 0, count: 12) : $0 }
    #expect(Rows.error(Rows.of(y), expected) < 2e-6)
  }

  @Test(
    "recurrent units are their definition in both directions, and pass over padding",
    arguments: [1, 2, 17, 64])
  func recurrence(length: Int) throws {
    var layout = ParameterLayout()
    let layer = GatedRecurrent("gru", Self.configuration, in: &layout)
    let bench = try Bench(layout)
    let lengths = [(length + 1) / 2, length, 0, length]
    let x = try Tensor.normal([4 * length, 12], key: RandomKey(seed: 1))
    let (y, _) = try layer.forward(x, bench.run.over(batch: 4, lengths: lengths))
    let rows = Rows.of(x), found = Rows.of(y)
    for sequence in 0..<4 {
      let real = sequence * length..<sequence * length + lengths[sequence]
      guard !real.isEmpty else { continue }
      #expect(Rows.error(Array(found[real]), Self.recurrent(layer, Array(rows[real]), bench)) < 5e-6)
    }
  }

  @Test("a hierarchical attention network is words to segments to documents, each alone", arguments: [1, 2])
  func network(layers: Int) throws {
    var layout = ParameterLayout(), buffers: [BufferSlot] = []
    var hierarchy = HierarchyConfiguration()
    hierarchy.segmentation = Segmentation(length: 9, separator: 3)
    let layer = HierarchicalAttentionNetwork(
      "encoder", Self.configuration, hierarchy, layers: layers, attention: [], operands: [], in: &layout,
      buffers: &buffers)
    let bench = try Bench(layout), length = 20, cut = Self.cut(length)
    var run = bench.run.over(batch: Self.lengths.count, lengths: Self.lengths)
    run.cut = cut
    let x = try Tensor.normal([Self.lengths.count * length, 12], key: RandomKey(seed: 1))
    let (y, _) = try layer.forward(x, run)
    func encoded(_ level: HierarchicalAttentionNetwork.Level, _ rows: [[Double]]) throws -> [Double] {
      let chain = try #require(level.encoder as? Chain)
      let h = chain.layers.reduce(rows) { rows, layer in
        (layer as? GatedRecurrent).map { Self.recurrent($0, rows, bench) } ?? rows
      }
      return Self.pooled(level.pooling, h, bench)
    }
    let rows = Rows.of(x), table = try #require(layer.positions.table)
    let positions = Rows.of(bench.run.weight(table))
    for (document, range) in cut.documents.ranges.enumerated() where !range.isEmpty {
      let segments = try range.map { segment in
        zip(
          try encoded(layer.words, Array(rows[cut.segments.ranges[segment]])),
          positions[segment - range.lowerBound]
        ).map(+)
      }
      #expect(Rows.error([Rows.of(y)[document]], [try encoded(layer.segments, segments)]) < 1e-5)
    }
    // A document without rows has a sum of nothing.
    #expect(Rows.of(y)[1].allSatisfy { $0 == 0 })
  }

  @Test(
    "a hierarchical transformer is its blocks on every segment and every row of first tokens alone",
    arguments: [(2, 2), (3, 1), (3, 2), (1, 2)], [LayerConfiguration.Position.learned, .rope, .sinusoidal])
  func transformer(layers: (lower: Int, upper: Int), position: LayerConfiguration.Position) throws {
    var layout = ParameterLayout(), buffers: [BufferSlot] = []
    var hierarchy = HierarchyConfiguration(), configuration = Self.configuration
    (hierarchy.segmentLayers, configuration.position) = (layers.upper, position)
    hierarchy.segmentation = Segmentation(length: 9, separator: 3)
    let attention = [LayerAttention](repeating: LayerAttention("full"), count: 3)
    let layer = HierarchicalTransformer(
      "encoder", configuration, hierarchy, layers: layers.lower, attention: attention,
      operands: [LayerOperands](repeating: .none, count: 3), in: &layout, buffers: &buffers)
    let bench = try Bench(layout), length = 20, cut = Self.cut(length)
    var run = bench.run.over(batch: Self.lengths.count, lengths: Self.lengths)
    run.cut = cut
    let x = try Tensor.normal([Self.lengths.count * length, 12], key: RandomKey(seed: 1))
    let found = Rows.of(try layer.forward(x, run).output)

    func alone(_ layer: any Layer, _ rows: [[Double]]) throws -> [[Double]] {
      let x = try Tensor(rows.joined().map { Float($0) }, shape: [rows.count, 12])
      return Rows.of(try layer.forward(x, bench.run.over(batch: 1, lengths: nil)).output)
    }
    var rows = Rows.of(x)
    for (index, block) in layer.within.blocks.enumerated() {
      for range in cut.segments.ranges {
        rows.replaceSubrange(range, with: try alone(block, Array(rows[range])))
      }
      for upper in layer.across where upper.below == index + 1 {
        for range in cut.documents.ranges where !range.isEmpty {
          let places = range.map { cut.segments.ranges[$0].lowerBound }
          var firsts = places.map { rows[$0] }
          if let table = upper.positions.table {
            firsts = zip(firsts, Rows.of(bench.run.weight(table))).map { zip($0, $1).map(+) }
          } else if position == .sinusoidal {
            let sinusoids = try bench.run.planner.sinusoids(RowRuns(all: firsts.count), width: 12)
            firsts = zip(firsts, Rows.of(sinusoids)).map { zip($0, $1).map(+) }
          }
          for (place, row) in zip(places, try alone(upper.block, firsts)) { rows[place] = row }
        }
      }
    }
    let final = try #require(layer.within.final)
    for range in cut.segments.ranges {
      #expect(Rows.error(Array(found[range]), try alone(final, Array(rows[range]))) < 1e-5)
    }
    let padding = (0..<rows.count).filter { row in !cut.segments.ranges.contains { $0.contains(row) } }
    #expect(padding.allSatisfy { found[$0].allSatisfy { $0 == 0 } })
  }
}
