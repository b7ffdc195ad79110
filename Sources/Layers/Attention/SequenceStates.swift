import AttentionCore
import Settings
import Tensors

/// What the attention layers of a model keep of one sequence that is being generated.
package final class SequenceStates {
  /// By layer.
  private var states: [String: KeyValueState] = [:]
  /// States of recurrences, by layer; none before the first rows.
  private var recurrent: [String: RecurrentState] = [:]
  /// The last rows that a convolution read, by layer.
  private var tails: [String: Tensor] = [:]
  /// Keys and values of the memory, by cross-attention layer.
  private var crossed: [String: (key: Tensor, value: Tensor)] = [:]

  /// The empty states of a stack; `nil` when the attention of a layer can keep nothing, so that every token needs the whole
  /// sequence.
  /// - Parameters:
  ///   - stack: whose attention layers have a state each.
  ///   - catalog: the variants.
  ///   - limit: the most positions that a layer holds, the last ones; `nil`: as many as its attention sees.
  /// - Throws: `ConfigurationError`.
  package init?(of stack: Stack, in catalog: Catalog, limit: Int? = nil) throws(ConfigurationError) {
    for sublayer in stack.sublayers {
      guard case .attention(let layer) = sublayer.function, !layer.isCross else { continue }
      guard let state = try catalog.state(of: layer.attention, limit: limit) else { return nil }
      if case .rows(let rows) = state { states[layer.name] = rows }
    }
  }

  /// Bytes of all states.
  package var byteCount: Int {
    states.values.reduce(0) { $0 + $1.byteCount } + recurrent.values.reduce(0) { $0 + $1.byteCount }
      + tails.values.reduce(0) { $0 + 4 * $1.count }
  }

  /// Whether a layer keeps rows of keys and values, and not the state of a recurrence.
  func keepsRows(of layer: AttentionLayer) -> Bool { states[layer.name] != nil }

  /// The rows of a recurrent layer that follow those before; the state moves on behind them.
  func forward(
    _ plan: any RecurrentVariant, _ inputs: Operands, of layer: AttentionLayer, in context: ExecutionContext
  ) throws -> Forward {
    // Taken out while it moves on: who else holds a state makes it be copied.
    if plan.shape.queryLength == 1, plan.shape.keyLength == 1,
      var state = recurrent.removeValue(forKey: layer.name)
    {
      let output = try plan.advance(&state, by: inputs, in: context)
      recurrent[layer.name] = state
      return Forward(output: output, lse: nil) { _, _ in
        preconditionFailure("a decoded token has no way back")
      }
    }
    let (result, state) = try plan.forward(inputs, from: recurrent[layer.name], in: context)
    recurrent[layer.name] = state
    return result
  }

  /// The rows before new ones of a layer, zeros before the first; keeps the last of all.
  func rows(
    behind new: Tensor, keeping count: Int, of layer: String, in context: ExecutionContext
  ) throws -> Tensor {
    let before = try tails[layer] ?? context.zeros([count, new.shape[1]])
    var next = try context.empty([count, new.shape[1]])
    let (kept, all) = (max(0, count - new.shape[0]), new.shape[0])
    let parts = [(before, count - kept, kept, 0), (new, all - (count - kept), count - kept, kept)]
    let view = next.pinnedForWriting()
    for (source, first, rows, at) in parts where rows > 0 {
      let from = source.narrowed(axis: 0, to: first..<first + rows).contiguous().pinned()
      (view + at * new.shape[1]).update(from: from.pointer, count: rows * new.shape[1])
    }
    tails[layer] = next
    return before
  }

  /// Adds the rows of new positions to the state of a layer; returns all rows that it holds.
  func append(
    _ rows: Tensor, to name: Operand.Name, of layer: AttentionLayer, in context: ExecutionContext
  ) throws -> Tensor {
    try states[layer.name]?.append(rows, to: name, in: context)
    guard let all = states[layer.name]?[name] else { preconditionFailure("\(layer.name) has no state") }
    return all
  }

  /// Moves the state of a layer on behind new positions.
  func advance(_ layer: AttentionLayer, by positions: Int) throws {
    try states[layer.name]?.advance(by: positions)
  }

  /// Keys and values of the memory, made once.
  func crossed(
    by layer: AttentionLayer, _ make: () throws -> (key: Tensor, value: Tensor)
  ) rethrows -> (key: Tensor, value: Tensor) {
    if let made = crossed[layer.name] { return made }
    let made = try make()
    crossed[layer.name] = made
    return made
  }
}
