import Tensors

extension AttentionVariant {
  /// Computes output and LSE: what everybody but the variant itself calls.
  ///
  /// A row of q that is padding (`AttentionShape.isPaddedQuery`) is nobody's result: where its scores are beyond single
  /// precision its output is 0, its LSE −∞, and it takes no part in the gradients.
  /// - Throws: `ScoreOverflow` where the log-sum-exp of any other row is NaN or +∞; what the variant throws.
  public func attend(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    let result = try forward(inputs, in: context)
    let rows = overflowedRows(result)
    guard !rows.isEmpty else { return result }
    if let refused = rows.first(where: { !isPadded(row: $0) }) { throw overflow(refused, inputs) }
    return try attend(inputs, without: rows, in: context)
  }

  /// The rows whose log-sum-exp is neither finite nor −∞, as places in it; where there is none, those that the variant names.
  /// - Complexity: O(rows).
  private func overflowedRows(_ result: Forward) -> [Int] {
    result.lse?.contiguous().indices { !($0 < .infinity) } ?? result.overflowedPadding
  }

  private func isPadded(row index: Int) -> Bool {
    let row = shape.definitionRow(index)
    return shape.isPaddedQuery(batch: row.batch, query: row.query)
  }

  /// The same call with rows of q, and of all that is like q, at 0: their results are then taken away.
  private func attend(_ inputs: Operands, without rows: [Int], in context: ExecutionContext) throws -> Forward
  {
    var clean = inputs
    for operand in Operand.all(operands) where operand.isLike(.query) {
      guard let tensor = inputs[operand.name], tensor.shape == shape.queryShape else { continue }
      clean[operand.name] = try tensor.clearing(rows, ledger: context.ledger)
    }
    let result = try forward(clean, in: context)
    if let refused = overflowedRows(result).first { throw overflow(refused, clean) }
    let lse = try result.lse.map {
      var sums = $0.array()
      for row in rows { sums[row] = -.infinity }
      return try Tensor(sums, shape: shape.lseShape, ledger: context.ledger)
    }
    var cleared = Forward(output: try result.output.clearing(rows, ledger: context.ledger), lse: lse) {
      outputGradient, losses, context in
      try result.backward(
        try outputGradient.clearing(rows, ledger: context.ledger), knowing: losses, in: context)
    }
    cleared.clearedPadding = rows
    return cleared
  }

  /// Output, LSE and way back of values so large that their weighted sums pass single precision before the division by
  /// the sum of the weights: the output is a mean of values, and finite where they are.
  ///
  /// Elements of the output that are finite already stay; the others come from values at 2⁻⁴⁰ of their size.
  /// - Parameters:
  ///   - inputs: what `attend` read.
  ///   - plain: what `attend` returned, with elements of the output that are not finite.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: as `attend` does.
  public func attendVastValues(
    _ inputs: Operands, after plain: Forward, in context: ExecutionContext
  ) throws -> Forward {
    let down: Float = 0x1p-40, up: Float = 0x1p40
    var small = inputs
    for operand in Operand.all(operands) where operand.isLike(.value) {
      guard let tensor = inputs[operand.name] else { continue }
      small[operand.name] = try tensor.multiplied(by: down, ledger: context.ledger)
    }
    let scaled = try attend(small, in: context)
    let elements = zip(plain.output.array(), scaled.output.array()).map { $0.isFinite ? $0 : $1 * up }
    let output = try Tensor(elements, shape: shape.outputShape, ledger: context.ledger)
    let declared = Operand.all(operands)
    var result = Forward(output: output, lse: plain.lse) { outputGradient, context in
      // ∂L/∂v does not depend on v; the score's gradient is linear in it.
      var gradients = try scaled.backward(outputGradient, in: context)
      for operand in declared where !operand.isLike(.value) {
        guard let tensor = gradients[operand.name] else { continue }
        gradients[operand.name] = try tensor.multiplied(by: up, ledger: context.ledger)
      }
      return gradients
    }
    result.clearedPadding = plain.clearedPadding
    return result
  }
}

extension AttentionShape {
  /// Whether a row of q is padding: where there are as many queries as keys they are the positions of one sequence, and
  /// those from `keyLengths` on are none of it.
  public func isPaddedQuery(batch: Int, query: Int) -> Bool {
    queryLength == keyLength && query >= validKeys(batch: batch)
  }
}

extension Operand {
  /// Whether it is q, k or v, or a projection that starts as that one does; what a layer learns as wide as a value is like v.
  fileprivate func isLike(_ name: Name) -> Bool {
    if case .learned = source { return name == .value && axes.last == .valueDim }
    return self.name == name || source == .projected(like: name)
  }
}

extension Tensor {
  /// A copy in the same precision whose rows of the last axis, counted in row-major order, are 0 at some places.
  package func clearing(_ rows: [Int], ledger: MemoryLedger?) throws(MemoryLimitExceeded) -> Tensor {
    var values = array()
    let width = shape[shape.count - 1]
    for row in rows { for place in row * width..<(row + 1) * width { values[place] = 0 } }
    return try Tensor(values, shape: shape, ledger: ledger).converted(to: precision, ledger: ledger)
  }

  /// A copy in the same precision with every element multiplied.
  fileprivate func multiplied(by factor: Float, ledger: MemoryLedger?) throws(MemoryLimitExceeded) -> Tensor {
    try Tensor(array().map { $0 * factor }, shape: shape, ledger: ledger).converted(
      to: precision, ledger: ledger)
  }
}
