import Basics
import RealModule
import Tensors

/// Tokens to vectors: `x_i = norm?(s·E[token_i] + P[i] + T[0])`, `[batch·length, width]`, s = √width or 1. Rows that are
/// described by numbers have `W f_i + b` in the place of `s·E[token_i]`.
///
/// E `[vocabulary, width]`; P sines and cosines (`P[i, 2k] = sin(i/10000^(2k/width))`, cosine beside it), a learned table
/// `[maximumLength, width]`, or nothing; T BERT's token-type table. Dropout follows.
package struct Embedding: Sendable {
  /// `nil`: rows are described by numbers.
  package let table: ParameterSlot?
  package let features: Linear?
  let width: Int
  package let positions: ParameterSlot?
  package let types: ParameterSlot?
  package let norm: Normalization?
  package let scale: Float
  package let isSinusoidal: Bool
  package let dropout: Double
  package let name: String

  package init(
    _ name: String, _ configuration: LayerConfiguration, sharing shared: ParameterSlot?,
    in layout: inout ParameterLayout, buffers: inout [BufferSlot]
  ) {
    let width = configuration.width
    (self.name, self.width) = (name, width)
    scale = configuration.scaleEmbedding ? Float(width).squareRoot() : 1
    let deviation = configuration.scaleEmbedding ? 1 / Double(width).squareRoot() : 0.02
    features =
      configuration.features > 0
      ? Linear("embedding.features", from: configuration.features, to: width, bias: true, in: &layout) : nil
    table =
      configuration.features > 0
      ? nil
      : shared
        ?? layout.add(
          "embedding.weight", [configuration.vocabulary, width], .normal(deviation), decays: true)
    positions =
      configuration.position == .learned
      ? layout.add(name + ".weight", [configuration.maximumLength, width], .normal(0.02), decays: false) : nil
    types =
      configuration.tokenTypes > 0
      ? layout.add(name + ".types.weight", [configuration.tokenTypes, width], .normal(0.02), decays: false)
      : nil
    norm =
      configuration.embeddingNorm
      ? Normalization(name + ".norm", configuration, in: &layout, buffers: &buffers) : nil
    isSinusoidal = configuration.position == .sinusoidal
    dropout = configuration.dropout
  }

  /// The rows of tokens, `[batch·length, width]`, and the way back, which ends here: tokens have no gradient.
  /// - Parameter described: what describes the rows, `[batch·length, features]`; `nil`: their tokens do.
  package func forward(_ tokens: [Int32], describedBy described: Tensor? = nil, _ run: LayerRun) throws -> (
    output: Tensor, pullback: (Tensor) throws -> Void
  ) {
    let context = run.context
    let length = tokens.count / run.batch
    let places = run.spread?.rows ?? RowRuns([run.first..<run.first + length])
    let rows = run.positions ?? (0..<run.batch).flatMap { _ in places.runs.joined().map { Int32($0) } }
    var x: Tensor
    if let features, let described {
      x = try features.product(described, run)
    } else if let table {
      x = try context.lookUp(tokens, in: run.weight(table), scale: scale)
    } else {
      preconditionFailure("the model reads features, and none came")
    }
    if let positions { context.accumulate(try context.lookUp(rows, in: run.weight(positions)), into: &x) }
    if isSinusoidal, run.positions != nil {
      let sinusoids = try run.planner.sinusoids(RowRuns(all: Int(rows.max() ?? 0) + 1), width: width)
      context.accumulate(try context.lookUp(rows, in: sinusoids), into: &x)
    } else if isSinusoidal {
      let sinusoids = try run.planner.sinusoids(places, width: width)
      for sequence in 0..<run.batch {
        context.accumulate(sinusoids, into: &x, at: sequence * sinusoids.count)
      }
    }
    if let types {
      let zeros = [Int32](repeating: 0, count: tokens.count)
      context.accumulate(try context.lookUp(zeros, in: run.weight(types)), into: &x)
    }
    let (normal, normalPullback) = try norm.map { try $0.forward(x, run) } ?? (x, Pullback { dy, _ in dy })
    let pullback = { (dy: Tensor) in
      let d = try normalPullback(run.dropped(dy, dropout, name))
      if let types { context.accumulateColumnSums(d, into: &run.state.gradients, at: types.offset) }
      if let positions {
        context.accumulateRows(d, at: rows, into: &run.state.gradients, at: positions.offset)
      }
      if let features, let described {
        try features.accumulateGradients(d, x: described, run)
      } else if let table {
        context.accumulateRows(d, at: tokens, scale: scale, into: &run.state.gradients, at: table.offset)
      }
    }
    return (try run.dropped(normal, dropout, name), pullback)
  }
}

extension AttentionPlanner {
  /// Sines and cosines of some positions, `[positions, width]`, made in Double once.
  package func sinusoids(_ rows: RowRuns, width: Int) throws(MemoryLimitExceeded) -> Tensor {
    let entry = PositionKey(rows: rows, width: width)
    if let table = positionTables[entry] { return table }
    var values: [Float] = []
    for position in rows.runs.joined() {
      for column in 0..<width {
        let angle = Double(position) * Double.pow(10_000, -2 * Double(column / 2) / Double(width))
        values.append(Float(column % 2 == 0 ? Double.sin(angle) : Double.cos(angle)))
      }
    }
    let table = try Tensor(values, shape: [rows.count, width])
    if positionTables.count >= 64 { positionTables.removeAll() }
    positionTables[entry] = table
    return table
  }
}
