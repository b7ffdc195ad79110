import AttentionCore
import Basics
import CKernels
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Attention over a window whose place every query predicts (Luong's `local-p`), row by row.
///
/// Windows of neighbouring rows need not overlap, so rows share no tile. Scores of a window are computed twice, forward and
/// backward, and never stored for more than one row. A window's place is worked out in Double: its whole part chooses keys.
/// - Complexity: O(n · window · (headDim + valueDim)) time; O(window · headDim) memory a thread.
struct PredictedWindows: Sendable {
  let shape: AttentionShape
  let configuration: Luong.Configuration
  /// The factor on products of q and k.
  let scale: Double

  /// `σ(v·tanh u)`, of which S times is the middle of the window.
  static func fraction(_ dim: Int, u: (Int) -> Double, v: (Int) -> Double) -> Double {
    1 / (1 + exp(-(0..<dim).reduce(0.0) { $0 + v($1) * tanh(u($1)) }))
  }

  /// The keys of a window.
  static func keys(_ middle: Double, window: Int, visible: Int) -> Range<Int> {
    let whole = Int(middle)
    let first = max(0, whole - window)
    return first..<max(first, min(visible, whole + window + 1))
  }

  /// One row and what it sees.
  struct Row {
    var batch: Int, head: Int, row: Int
    /// S, all keys that the row sees; σ(z) and the middle of the window.
    var visible: Int, fraction: Double
    var middle: Double { Double(visible) * fraction }
    var keys: Range<Int>
  }

  /// Where the inputs of a pass lie.
  struct Inputs: Sendable {
    let query: Rows, key: Rows, value: Rows, windowQuery: Rows
    /// `[1, heads, 1, d]`.
    let windowWeight: Rows
    /// w of additive scores; `nil`: scores are products.
    let energy: Rows?
  }

  func inputs(_ inputs: Operands, energy: Tensor?) -> Inputs {
    guard let windowQuery = inputs[Luong.windowQuery.name], let weight = inputs[Luong.windowWeight.name]
    else { preconditionFailure("\(Luong.windowQuery.name) is missing") }
    func byHead(_ vectors: Tensor) -> Rows {
      vectors.contiguous().reshaped([1, shape.queryHeads, 1, shape.headDim]).rows()
    }
    return Inputs(
      query: inputs.query.rows(), key: inputs.key.rows(), value: inputs.value.rows(),
      windowQuery: windowQuery.rows(), windowWeight: byHead(weight), energy: energy.map(byHead))
  }

  func row(_ inputs: Inputs, _ batch: Int, _ head: Int, _ row: Int) -> Row {
    let u = inputs.windowQuery.row(batch, head, row), v = inputs.windowWeight.head(0, head)
    let visible = shape.visibleKeys(batch: batch, row: row)
    let fraction = Self.fraction(shape.headDim, u: { Double(u[$0]) }, v: { Double(v[$0]) })
    // NaN of inputs that are none predicts nothing.
    let middle = fraction.isNaN ? 0 : Double(visible) * fraction
    return Row(
      batch: batch, head: head, row: row, visible: visible, fraction: fraction,
      keys: Self.keys(middle, window: configuration.window, visible: visible))
  }

  /// The factor on the weight of a key.
  func factor(_ row: Row, key: Int) -> Float {
    let offset = (Double(key) - row.middle) / configuration.effectiveSigma
    return Float(exp(-offset * offset / 2))
  }

  /// Keys of the widest window.
  var widest: Int { min(shape.keyLength, 2 * configuration.window + 1) }

  /// Room for one row of one worker.
  struct Scratch {
    /// Weights, one a key.
    var weights: UnsafeMutablePointer<Float>
    /// tanh(q + k) of every key, of additive scores.
    var ratios: UnsafeMutablePointer<Float>
  }

  func scratchFloats(isAdditive: Bool) -> Int {
    (widest * (1 + (isAdditive ? shape.headDim : 0)) + 15) / 16 * 16
  }

  func scratch(_ view: PinnedView<Float>, worker: Int, isAdditive: Bool) -> Scratch {
    let own = view + worker * scratchFloats(isAdditive: isAdditive)
    return Scratch(weights: own, ratios: own + widest)
  }

  /// The softmax of a row's window, before the Gaussian, into the scratch; returns its log-sum-exp: NaN where a score is none
  /// that single precision holds.
  func softmax(_ row: Row, _ inputs: Inputs, _ scratch: Scratch, _ isa: Int32) -> Float {
    RowSoftmax.weights(count: row.keys.count, into: scratch.weights) { place in
      score(
        row, row.keys.lowerBound + place, inputs, scratch.ratios + place * shape.headDim, isa)
    }
  }

  private func score(
    _ row: Row, _ key: Int, _ inputs: Inputs, _ ratios: UnsafeMutablePointer<Float>, _ isa: Int32
  ) -> Float {
    let dim = shape.headDim
    let q = inputs.query.row(row.batch, row.head, row.row)
    let k = inputs.key.row(row.batch, shape.keyHead(of: row.head), key)
    guard let energy = inputs.energy else { return RowSoftmax.score(q, k, dim, scale: scale) }
    for t in 0..<dim { ratios[t] = q[t] + k[t] }
    attn_cap(isa, ratios, ratios, Int64(dim), 1, 1)
    return NormalizedRows.dot(energy.head(0, row.head), ratios, dim)
  }

  /// Output and LSE; the LSE is that of the window's softmax, before the Gaussian.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func forward(_ operands: Operands, energy: Tensor?, in context: ExecutionContext) throws -> Forward {
    let inputs = inputs(operands, energy: energy)
    var output = try context.zeros(shape.outputShape), lse = try context.empty(shape.lseShape)
    let (target, logSums) = (output.rowsForWriting(), lse.rowsForWriting())
    let isAdditive = energy != nil
    var room = try context.empty([context.threads * scratchFloats(isAdditive: isAdditive)])
    let view = room.pinnedForWriting()
    try shape.forEachRowBlock(in: context) { batch, head, rows, worker in
      let scratch = scratch(view, worker: worker, isAdditive: isAdditive)
      for number in rows {
        let row = row(inputs, batch, head, number)
        let lse = softmax(row, inputs, scratch, context.instructionSet.code)
        logSums.head(batch, head)[number * logSums.rowStride] = lse
        if lse.isFinite { write(row, inputs, scratch, to: target.row(batch, head, number)) }
      }
    }
    return Forward(output: output, lse: lse) { outputGradient, context in
      try backward(outputGradient, operands, energy: energy, in: context)
    }
  }

  /// Statistics of the softmax over the windows.
  /// - Throws: `CancellationRequested`.
  func statistics(
    of operands: Operands, energy: Tensor?, _ score: PairScore, in context: ExecutionContext
  ) throws -> RowStatistics {
    let inputs = inputs(operands, energy: energy)
    return try RowwiseStatistics(shape: shape, score: score).rows(of: operands, in: context) {
      for key in row(inputs, $0, $1, $2).keys { $3(key) }
    }
  }

  private func write(
    _ row: Row, _ inputs: Inputs, _ scratch: Scratch, to target: UnsafeMutablePointer<Float>
  ) {
    for (place, key) in row.keys.enumerated() {
      let weight = scratch.weights[place] * factor(row, key: key)
      guard weight != 0 else { continue }
      let value = inputs.value.row(row.batch, shape.keyHead(of: row.head), key)
      for t in 0..<shape.valueDim { target[t] += weight * value[t] }
    }
  }
}
