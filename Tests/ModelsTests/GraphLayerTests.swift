import Attention
import AttentionCore
import Basics
import Layers
import Settings
import Tensors
import Testing

/// A layer of GAT as published, against loops in Double that read its parameters.
@Suite struct GraphLayerTests {
  private static let nodes = 9, width = 6, heads = 3
  private static let edges = EdgeList(
    sources: [0, 1, 2, 3, 3, 5, 6, 7, 1, 1], targets: [1, 2, 3, 4, 0, 5, 7, 6, 2, 8])

  @Test("GAT with heads side by side or their mean, one map and a bias", arguments: [false, true])
  func gat(isMean: Bool) throws {
    let attention = try LayerAttention.parse(
      "graph(score=gat, shared_map=true, output=\(isMean ? "mean" : "concat"))")[0]
    var configuration = LayerConfiguration()
    (configuration.width, configuration.heads, configuration.position) = (Self.width, Self.heads, .none)
    var layout = ParameterLayout()
    let layer = AttentionLayer(
      "a", configuration, attention: attention, isCausal: false, isCross: false,
      operands: try Catalog.standard.operands(of: attention), gain: 1, in: &layout)
    let dim = isMean ? Self.width : Self.width / Self.heads
    #expect(
      layout.slots.map(\.name).sorted()
        == ["a.attention_source", "a.attention_target", "a.bias", "a.key.bias", "a.key.weight"])
    let weights = try Tensor.normal([layout.count], key: RandomKey(seed: 1), standardDeviation: 0.5)
    let x = try Tensor.normal([Self.nodes, Self.width], key: RandomKey(seed: 2))
    let catalog = Catalog.standard, key = RandomKey(seed: 3)
    var run = LayerRun(
      state: try ModelState(weights: weights, buffers: []), context: ExecutionContext(threads: 2),
      planner: AttentionPlanner(catalog: catalog, key: key), training: false, key: key)
    run.graph = Self.edges
    let (y, _) = try layer.forward(x, run)
    let expected = Self.gat(
      layout, weights.array().map { Double($0) }, x.array().map { Double($0) }, dim, isMean)
    #expect(y.shape == [Self.nodes, Self.width])
    for (found, exact) in zip(y.array(), expected) { #expect(abs(Double(found) - exact) < 1e-5) }
  }

  private static func gat(
    _ layout: ParameterLayout, _ weights: [Double], _ x: [Double], _ dim: Int, _ isMean: Bool
  ) -> [Double] {
    func parameter(_ name: String) -> [Double] {
      layout.slots.first { $0.name == name }.map { Array(weights[$0.range]) } ?? []
    }
    let w = parameter("a.key.weight"), b = parameter("a.key.bias"), bias = parameter("a.bias")
    let source = parameter("a.attention_source"), target = parameter("a.attention_target")
    func row(_ node: Int, _ head: Int) -> [Double] {
      (0..<dim).map { t in
        let place = head * dim + t
        return (0..<width).reduce(b[place]) { $0 + w[place * width + $1] * x[node * width + $1] }
      }
    }
    func dot(_ a: [Double], _ b: ArraySlice<Double>) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    var y = [Double](repeating: 0, count: nodes * width)
    for node in 0..<nodes {
      let all = (0..<edges.count).filter { edges[$0].target == node && edges[$0].source != node }
      let neighbours = all.map { edges[$0].source } + [node]
      for head in 0..<heads {
        let part = head * dim..<(head + 1) * dim
        let scores = neighbours.map { neighbour in
          let score = dot(row(neighbour, head), source[part]) + dot(row(node, head), target[part])
          return score > 0 ? score : 0.2 * score
        }
        let sum = scores.reduce(0) { $0 + exponential($1) }
        for (neighbour, score) in zip(neighbours, scores) {
          for (t, value) in row(neighbour, head).enumerated() {
            let place = node * width + (isMean ? t : head * dim + t)
            y[place] += exponential(score) / sum * value / (isMean ? Double(heads) : 1)
          }
        }
      }
      for t in 0..<width { y[node * width + t] += bias[t] }
    }
    return y
  }

  /// e^x by its series: no library is asked.
  private static func exponential(_ x: Double) -> Double {
    var term = 1.0, sum = 1.0
    for n in 1...60 {
      term *= x / Double(n)
      sum += term
    }
    return sum
  }
}
