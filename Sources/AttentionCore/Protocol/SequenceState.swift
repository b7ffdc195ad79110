import Tensors

/// What a decoder keeps of the past of one sequence in one layer.
public protocol SequenceState: Sendable {
  /// Bytes of what it holds.
  var byteCount: Int { get }
}

/// Keys, values and further operands with rows of k, as far as a later query can see them.
///
/// Which rows those are is the variant's to say, once: `VariantConfiguration.evictableKeys` and `lastReader`. The cache of a
/// decoder, the bytes that it holds and the column `state_bytes` follow from it. The rows that are held stand for a shorter
/// sequence with the same answers: a causal query is aligned with the last key, and what is dropped leaves the distances that
/// the variant goes by as they were.
public struct KeyValueState: SequenceState {
  private struct Rows {
    var buffer: RowBuffer
    let hasHeads: Bool
  }

  private let evictable: @Sendable (Int) -> Range<Int>?
  private let lastReader: @Sendable (Operand.Name) -> Int?
  /// The most rows that are held; `nil`: as many as the variant sees.
  private let limit: Int?
  private var rows: [Operand.Name: Rows] = [:]
  /// Rows that the sequence has had.
  public private(set) var count = 0

  /// An empty state of a variant.
  /// - Parameters:
  ///   - configuration: says which rows a later query sees.
  ///   - limit: the most rows that are held behind a pass, the last ones: a memory of so many positions. `nil`: as many as
  ///     the variant sees.
  public init(_ configuration: some VariantConfiguration, limit: Int? = nil) {
    self.limit = limit
    evictable = { configuration.evictableKeys(of: $0) }
    lastReader = { configuration.lastReader(of: $0) }
  }

  /// Bytes of the rows that are held, without the room for more.
  public var byteCount: Int { rows.values.reduce(0) { $0 + $1.buffer.byteCount } }

  /// The rows of an operand that are held, `[1, heads, rows, width]` or `[1, rows, width]`; a view that must be gone before
  /// the next change, which else copies everything.
  public subscript(name: Operand.Name) -> Tensor? {
    guard let held = rows[name] else { return nil }
    let tensor = held.buffer.rows
    return held.hasHeads ? tensor : tensor.reshaped([1] + tensor.shape.dropFirst(2))
  }

  /// Adds the rows of new positions behind those that are held.
  /// - Throws: `MemoryLimitExceeded`.
  public mutating func append(
    _ new: Tensor, to name: Operand.Name, in context: ExecutionContext
  ) throws(MemoryLimitExceeded) {
    let hasHeads = new.rank == 4
    let heads = hasHeads ? new : new.reshaped([1, 1] + new.shape.dropFirst())
    // In place: who else holds a buffer makes it be copied.
    if rows[name] == nil {
      rows[name] = Rows(buffer: try RowBuffer(heads, ledger: context.ledger), hasHeads: hasHeads)
    } else {
      try rows[name]?.buffer.append(heads)
    }
  }

  /// Moves on behind new positions: drops what no later query can see.
  /// - Throws: `MemoryLimitExceeded`.
  public mutating func advance(by positions: Int) throws(MemoryLimitExceeded) {
    count += positions
    // The names alone, so that the loop holds no buffer.
    let names = Array(rows.keys), held = rows[.key]?.buffer.count ?? 0
    let dropped = evictable(held) ?? 0..<0
    for name in names {
      if isStandard(name) || lastReader(name) == nil {
        try rows[name]?.buffer.remove(dropped)
      } else if let last = lastReader(name), count > last {
        rows[name] = nil
      }
    }
    guard let limit else { return }
    for name in names {
      let held = rows[name]?.buffer.count ?? 0
      try rows[name]?.buffer.remove(0..<max(0, held - limit))
    }
  }

  private func isStandard(_ name: Operand.Name) -> Bool { name == .key || name == .value }
}

extension Operand {
  /// Whether a decoder keeps rows of it: a layer makes one for every key.
  var isKept: Bool {
    if case .projected = source { axes.contains(.keys) } else { false }
  }
}

extension VariantConfiguration {
  /// Rows of an operand that a decoder holds after so many positions.
  func heldRows(of operand: Operand, after count: Int) -> Int {
    if !operand.isStandard, let last = lastReader(of: operand.name) { return count <= last ? count : 0 }
    return count - (evictableKeys(of: count)?.count ?? 0)
  }
}

extension AttentionVariant {
  /// Bytes of the state of one sequence of this shape, over all key heads: closed form, what a `KeyValueState` holds after the
  /// last row. Without causality nothing is evicted, and the state is all keys and values.
  public var stateBytes: Double { stateBytes(without: []) }

  /// Those of the rows of operands that are kept.
  public func stateBytes(without parts: Set<Operand.Name>) -> Double {
    let count = shape.keyLength
    let kept = Operand.all(operands).filter { $0.isKept && !parts.contains($0.name) }
    return kept.reduce(0) { total, operand in
      let rows = shape.isCausal ? configuration.heldRows(of: operand, after: count) : count
      let extents = zip(operand.axes, operand.extents(at: shape)).filter { $0.0 != .batch && $0.0 != .keys }
      return total + extents.reduce(Double(shape.precision.byteCount * rows)) { $0 * Double($1.1) }
    }
  }
}
