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

extension PredictedWindows {
  /// Where gradients go.
  private struct Gradients: Sendable {
    let query: Rows, key: Rows, value: Rows, windowQuery: Rows
    /// Of every (batch, head) on its own, in Double: of v, then of w.
    let sums: UnsafeSums
  }

  /// Sums in Double that workers write at disjoint places.
  private struct UnsafeSums: Sendable {
    let view: PinnedView<Double>
    let width: Int

    func row(_ index: Int) -> UnsafeMutablePointer<Double> { view + index * width }
  }

  /// With c = dO·v and D = Σ p g c: `dv += p g dO`, `ds = p (g c − D)`, `dp_i = Σ p g c (j − p_i)/σ²`.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func backward(
    _ outputGradient: Tensor, _ operands: Operands, energy: Tensor?, in context: ExecutionContext
  ) throws -> Operands {
    let inputs = inputs(operands, energy: energy), dO = outputGradient.rows()
    var query = try context.zeros(shape.queryShape), key = try context.zeros(shape.keyShape)
    var value = try context.zeros(shape.valueShape), window = try context.zeros(shape.queryShape)
    let width = shape.headDim * (energy == nil ? 1 : 2), heads = shape.batch * shape.queryHeads
    let sums = UnsafeSums(
      view: try PinnedView(repeating: 0, count: heads * width, in: context.ledger), width: width)
    let gradients = Gradients(
      query: query.rowsForWriting(), key: key.rowsForWriting(), value: value.rowsForWriting(),
      windowQuery: window.rowsForWriting(), sums: sums)
    // Query heads that share a key head add to the same rows: one after the other.
    let groups = shape.batch * shape.keyHeads, isAdditive = energy != nil
    let workers = min(context.threads, groups), own = scratchFloats(isAdditive: isAdditive) + widest
    var room = try context.empty([workers * own])
    let view = room.pinnedForWriting()
    try Parallel.forEach(count: groups, threads: workers) { index, worker in
      let (batch, keyHead) = (index / shape.keyHeads, index % shape.keyHeads)
      let base = view.advanced(by: worker * own)
      let scratch = scratch(base, worker: 0, isAdditive: isAdditive)
      let slopes = base + scratchFloats(isAdditive: isAdditive)
      for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
        try context.checkCancellation()
        for number in 0..<shape.queryLength {
          let row = row(inputs, batch, head, number)
          guard softmax(row, inputs, scratch, context.instructionSet.code).isFinite else { continue }
          add(row, inputs, dO.row(batch, head, number), scratch, slopes, to: gradients)
        }
      }
    }
    var result = Operands(query: query, key: key, value: value)
    result[Luong.windowQuery.name] = window
    result[Luong.windowWeight.name] = try summed(sums, from: 0, in: context)
    if isAdditive { result[SoftmaxSettings.energy.name] = try summed(sums, from: shape.headDim, in: context) }
    return result
  }

  /// The sums of sequences, in order, `[heads, d]`.
  private func summed(_ sums: UnsafeSums, from first: Int, in context: ExecutionContext) throws -> Tensor {
    var values = [Float]()
    for head in 0..<shape.queryHeads {
      for t in 0..<shape.headDim {
        let total = (0..<shape.batch).reduce(0.0) { $0 + sums.row($1 * shape.queryHeads + head)[first + t] }
        values.append(Float(total))
      }
    }
    return try Tensor(values, shape: [shape.queryHeads, shape.headDim], ledger: context.ledger)
  }

  private func add(
    _ row: Row, _ inputs: Inputs, _ dO: UnsafePointer<Float>, _ scratch: Scratch,
    _ slopes: UnsafeMutablePointer<Float>, to gradients: Gradients
  ) {
    let (batch, keyHead) = (row.batch, shape.keyHead(of: row.head))
    let sums = gradients.sums.row(batch * shape.queryHeads + row.head)
    let sigma = configuration.effectiveSigma
    var mean: Float = 0, middleSlope = 0.0
    for (place, key) in row.keys.enumerated() {
      let share = scratch.weights[place] * factor(row, key: key)
      let product = NormalizedRows.dot(dO, inputs.value.row(batch, keyHead, key), shape.valueDim)
      slopes[place] = share * product
      mean += slopes[place]
      middleSlope += Double(slopes[place]) * (Double(key) - row.middle) / (sigma * sigma)
      guard share != 0 else { continue }
      let dv = gradients.value.row(batch, keyHead, key)
      for t in 0..<shape.valueDim { dv[t] += share * dO[t] }
    }
    // One key has weight 1 whatever its score.
    if row.keys.count > 1 {
      for (place, key) in row.keys.enumerated() {
        let slope = slopes[place] - scratch.weights[place] * mean
        addScore(row, key, slope, inputs, scratch.ratios + place * shape.headDim, sums, to: gradients)
      }
    }
    addMiddle(row, middleSlope, inputs, sums, to: gradients)
  }

  /// What a score's gradient gives to q, k and w.
  private func addScore(
    _ row: Row, _ key: Int, _ slope: Float, _ inputs: Inputs, _ ratios: UnsafePointer<Float>,
    _ sums: UnsafeMutablePointer<Double>, to gradients: Gradients
  ) {
    guard slope != 0 else { return }
    let keyHead = shape.keyHead(of: row.head), dim = shape.headDim
    let dq = gradients.query.row(row.batch, row.head, row.row)
    let dk = gradients.key.row(row.batch, keyHead, key)
    guard let energy = inputs.energy else {
      let q = inputs.query.row(row.batch, row.head, row.row), k = inputs.key.row(row.batch, keyHead, key)
      return RowSoftmax.addGradient(slope, q, k, dim, scale: scale, to: dq, dk)
    }
    let w = energy.head(0, row.head)
    for t in 0..<dim {
      let change = slope * w[t] * (1 - ratios[t] * ratios[t])
      dq[t] += change
      dk[t] += change
      sums[dim + t] += Double(slope * ratios[t])
    }
  }

  /// What the gradient of a window's middle gives to u and v: `p = S·σ(z)`, `z = v·tanh u`.
  private func addMiddle(
    _ row: Row, _ slope: Double, _ inputs: Inputs, _ sums: UnsafeMutablePointer<Double>,
    to gradients: Gradients
  ) {
    let change = slope * row.middle * (1 - row.fraction)
    guard change != 0, change.isFinite else { return }
    let u = inputs.windowQuery.row(row.batch, row.head, row.row), v = inputs.windowWeight.head(0, row.head)
    let du = gradients.windowQuery.row(row.batch, row.head, row.row)
    for t in 0..<shape.headDim {
      let ratio = tanh(Double(u[t]))
      sums[t] += change * ratio
      du[t] = Float(change * Double(v[t]) * (1 - ratio * ratio))
    }
  }
}
