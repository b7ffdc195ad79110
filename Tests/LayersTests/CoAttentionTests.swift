import Basics
import Foundation
import Tensors
import Testing

@testable import Layers
@testable import Models

/// Co-attention against its definition in Double, every pair of sequences alone.
@Suite struct CoAttentionTests {
  typealias Matrix = [[Double]]
  static let width = 6

  static func product(_ a: Matrix, _ b: Matrix) -> Matrix {
    a.map { row in
      b[0].indices.map { column in
        var sum = 0.0
        for k in row.indices { sum += row[k] * b[k][column] }
        return sum
      }
    }
  }
  static func transposed(_ a: Matrix) -> Matrix { a[0].indices.map { column in a.map { $0[column] } } }
  static func tanhOfSum(_ a: Matrix, _ b: Matrix) -> Matrix {
    zip(a, b).map { zip($0, $1).map { Foundation.tanh($0 + $1) } }
  }

  /// `Σ softmax(keys·w) values`.
  static func weighed(_ keys: Matrix, _ values: Matrix, _ query: LearnedQuery, _ bench: Bench) -> [Double] {
    let w = bench.values(query.slot)
    let weights = keys.map { exp(zip($0, w).map(*).reduce(0, +)) }, sum = weights.reduce(0, +)
    return (0..<width).map { column in zip(weights, values).reduce(0) { $0 + $1.0 / sum * $1.1[column] } }
  }

  static func parallel(_ layer: ParallelCoAttention, _ q: Matrix, _ v: Matrix, _ bench: Bench) -> [Double] {
    func apply(_ linear: Linear, _ x: Matrix) -> Matrix { x.map { bench.apply(linear, $0) } }
    let c = product(apply(layer.affinity, q), transposed(v)).map { $0.map { Foundation.tanh($0) } }
    let ofQ = apply(layer.ofQuestion, q), ofV = apply(layer.ofSource, v)
    let keysOfV = tanhOfSum(ofV, product(transposed(c), ofQ)), keysOfQ = tanhOfSum(ofQ, product(c, ofV))
    return zip(
      weighed(keysOfQ, q, layer.questionQuery, bench), weighed(keysOfV, v, layer.sourceQuery, bench)
    ).map(+)
  }

  static func guided(_ layer: GuidedPooling, _ x: Matrix, _ guide: [Double]?, _ bench: Bench) -> [Double] {
    let shift = layer.guide.flatMap { linear in guide.map { bench.apply(linear, $0) } }
    let keys = x.map { row in
      zip(bench.apply(layer.hidden, row), shift ?? [Double](repeating: 0, count: width)).map {
        Foundation.tanh($0 + $1)
      }
    }
    return weighed(keys, x, layer.query, bench)
  }

  @Test(
    "a pair's row is that of its real rows alone", arguments: CoAttentionKind.allCases,
    [(1, 1), (2, 5), (64, 63), (65, 2)])
  func definition(kind: CoAttentionKind, lengths: (question: Int, source: Int)) throws {
    var layout = ParameterLayout()
    let layer = CoAttention("pair", kind, width: Self.width, in: &layout)
    let bench = try Bench(layout), (n, m) = lengths
    let questions = [n, (n + 1) / 2], sources = [(m + 1) / 2, m]
    let x = try Tensor.normal([2 * n, Self.width], key: RandomKey(seed: 1))
    let memory = Memory(try Tensor.normal([2 * m, Self.width], key: RandomKey(seed: 2)), lengths: sources)
    var run = bench.run.over(batch: 2, lengths: questions)
    run.memory = memory
    let found = Rows.of(try layer.forward(x, run).output)
    for pair in 0..<2 {
      let q = Array(Rows.of(x)[pair * n..<pair * n + questions[pair]])
      let v = Array(Rows.of(memory.rows)[pair * m..<pair * m + sources[pair]])
      let sum: [Double]
      switch layer.reading {
      case .parallel(let layer): sum = Self.parallel(layer, q, v, bench)
      case .alternating(let first, let source, let second):
        let s = Self.guided(first, q, nil, bench), ofV = Self.guided(source, v, s, bench)
        sum = zip(Self.guided(second, q, ofV, bench), ofV).map(+)
      case .mean:
        sum = (0..<Self.width).map { column in
          q.reduce(0) { $0 + $1[column] } / Double(q.count) + v.reduce(0) { $0 + $1[column] }
            / Double(v.count)
        }
      }
      let expected = bench.apply(layer.join, sum).map { Foundation.tanh($0) }
      #expect(Rows.error([found[pair]], [expected]) < 5e-6)
    }
  }
}
