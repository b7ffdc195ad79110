import AttentionCore
import Basics
import Settings
import Tensors

/// Configured variants by layer and shape: a plan is made once for each shape that occurs.
package final class AttentionPlanner {
  private struct Key: Hashable {
    let layer: String
    let attention: LayerAttention
    let shape: AttentionShape
  }

  package let catalog: Catalog
  package let key: RandomKey
  /// What the layers and the padded batches have in common.
  private let patterns = PatternCache()
  private var plans: [Key: any AttentionVariant] = [:]
  private struct RotaryKey: Hashable {
    let convention: RotaryTable.Convention
    let positions: RotaryPositions
    let turned: Int, rows: RowRuns, length: Int
  }
  private var tables: [RotaryKey: RotaryTable] = [:]
  package struct PositionKey: Hashable { let rows: RowRuns, width: Int }
  package var positionTables: [PositionKey: Tensor] = [:]

  package init(catalog: Catalog, key: RandomKey) {
    self.catalog = catalog
    self.key = key
  }

  /// The variant of a layer at a shape; its random draws depend on the layer's name alone, so they are the same in
  /// training and evaluation.
  package func plan(_ attention: LayerAttention, layer: String, shape: AttentionShape)
    throws(ConfigurationError)
    -> any AttentionVariant
  {
    let entry = Key(layer: layer, attention: attention, shape: shape)
    if let plan = plans[entry] { return plan }
    // The model was checked at its longest sequence; this one may end before some of the positions that it names.
    let settings = try catalog.fitted(attention.id, settings: attention.settings, to: shape)
    let plan = try catalog.make(
      attention.id, settings: settings, shape: shape, key: key("attention")(layer), sharing: patterns)
    // Padded batches bring a new shape each step: what is kept stays bounded.
    if plans.count >= 256 { plans.removeAll() }
    plans[entry] = plan
    return plan
  }

  /// A rotation table of some positions, made once.
  /// - Parameters:
  ///   - convention: which elements make a pair.
  ///   - positions: how far they turn.
  ///   - turned: elements of a head that are turned.
  ///   - rows: the positions.
  ///   - length: of the sequence, where frequencies depend on it.
  package func rotary(
    _ convention: RotaryTable.Convention, _ positions: RotaryPositions, turned: Int, rows: RowRuns,
    length: Int
  ) throws(MemoryLimitExceeded) -> RotaryTable {
    let length = positions.goesByLength ? max(length, positions.originalLength) : 0
    let entry = RotaryKey(
      convention: convention, positions: positions, turned: turned, rows: rows, length: length)
    if let table = tables[entry] { return table }
    let table = try RotaryTable(
      convention: convention, frequencies: positions.frequencies(turned: turned, length: length),
      factor: positions.magnitude, rows: rows)
    if tables.count >= 64 { tables.removeAll() }
    tables[entry] = table
    return table
  }
}
