import AttentionCore
import Tensors

/// Longformer's separate global projections: global rows read a second q, k and v, so they are a pass of their own.
extension LocalGlobal {
  /// Output and LSE; with a second set of operands in two passes over disjoint rows.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    guard let query = inputs[.queryGlobal], let key = inputs[.keyGlobal], let value = inputs[.valueGlobal]
    else {
      return try Engine.attend(
        inputs, shape: shape, scale: scale, pattern: pattern, backwardPattern: { backwardPattern },
        in: context)
    }
    inputs.check(operands, at: shape)
    let second = Operands(query: query, key: key, value: value)
    var (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: scale,
      pattern: part(.local, .forward), in: context)
    try Engine.forward(
      query: second.query, key: second.key, value: second.value, shape: shape, scale: scale,
      pattern: part(.global, .forward), into: &output, lse: &lse, in: context)
    return Forward(output: output, lse: lse) { outputGradient, rows, context in
      func backward(_ read: Operands, _ part: Rows) throws -> Operands {
        try Engine.backward(
          outputGradient: outputGradient, query: read.query, key: read.key, value: read.value, rows: rows,
          shape: shape, scale: scale, pattern: self.part(part, .backward), in: context)
      }
      var gradient = try backward(inputs, .local)
      let other = try backward(second, .global)
      (gradient[.queryGlobal], gradient[.keyGlobal]) = (other.query, other.key)
      gradient[.valueGlobal] = other.value
      return gradient
    }
  }

  /// Those of all rows; with a second set of operands that of the global rows are over it.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    func rows(_ part: Rows, _ read: Operands) throws -> RowStatistics {
      try TileStatistics(shape: shape, scale: scale, pattern: self.part(part, .forward)).rows(
        of: read, in: context)
    }
    guard let query = inputs[.queryGlobal], let key = inputs[.keyGlobal], let value = inputs[.valueGlobal]
    else { return try rows(.all, inputs) }
    let local = try rows(.local, inputs)
    let global = try rows(.global, Operands(query: query, key: key, value: value))
    return local.replacing(global) { isGlobal(row: shape.definitionRow($0).query) }
  }

  /// Plans a pass over all rows, or over the local and the global ones apart.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    for rows in separateRows {
      try Engine.prepare(part(rows, pass), for: pass, shape: shape, in: context)
    }
  }
}
