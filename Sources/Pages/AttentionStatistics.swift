import AttentionCore
import Basics
import Foundation
import Records
import Settings
import Tensors

/// What the weights of every row are like, for `apply --stats`.
///
/// The mass that another pattern keeps is `e^{lse' − lse}`, lse' that of the same scores over its pairs: no weight is needed for it.
package struct AttentionStatistics {
  private let shape: AttentionShape
  private let rows: RowStatistics
  private let kept: [Double]?

  /// Computes them.
  /// - Parameters:
  ///   - attention: the variant.
  ///   - inputs: what it reads.
  ///   - lse: what the forward pass of the attention gave.
  ///   - keptBy: another attention, as in a line of layers, and the catalogue that knows it; `nil`: none.
  ///   - key: names its draws.
  ///   - context: threads, instruction set, ledger and cancellation.
  /// - Throws: `UsageError` where the variant tells none, or the other has scores of its own; what attention throws.
  package init(
    _ attention: any AttentionVariant, _ inputs: Operands, lse: Tensor?,
    keptBy: (line: String, catalog: Catalog)?, key: RandomKey, in context: ExecutionContext
  ) throws {
    guard let rows = try attention.statistics(of: inputs, in: context) else {
      throw UsageError(
        "--stats: \(attention.card.id) tells none under these settings; variants whose scores are products of q and k alone do"
      )
    }
    (shape, self.rows) = (attention.shape, rows)
    kept = try keptBy.map {
      try Self.kept(by: $0.line, $0.catalog, attention.shape, inputs, lse: lse?.array() ?? [], key, context)
    }
  }

  private static func kept(
    by line: String, _ catalog: Catalog, _ shape: AttentionShape, _ inputs: Operands, lse: [Float],
    _ key: RandomKey, _ context: ExecutionContext
  ) throws -> [Double] {
    let layers = try LayerAttention.parse(line)
    guard layers.count == 1, let layer = layers.first else {
      throw UsageError("--kept-by \(shown(line)): it takes one attention, such as sliding-window(left=63)")
    }
    let other = try catalog.make(layer.id, settings: layer.settings, shape: shape, key: key)
    guard other.operands == Operand.standard,
      let sums = try other.attend(inputs, in: context).lse?.array()
    else { throw UsageError("--kept-by \(layer.id): it reads more than q, k and v, or has no log-sum-exp") }
    return try zip(sums, lse).enumerated().map { index, pair in
      let mass = pair.1 == -.infinity ? 0 : exp(Double(pair.0) - Double(pair.1))
      guard mass <= 1.001 else {
        let row = shape.definitionRow(index)
        throw UsageError(
          "--kept-by \(layer.id): row \(row.query) (batch \(row.batch), head \(row.head)) would keep \(Quantity.significant(mass, 3)) of its "
            + "weights: it sees other pairs or has other scores")
      }
      return min(1, mass)
    }
  }

  /// As a table.
  package var text: String {
    StatisticsRow.text(
      rows.lse.indices.map { index in
        let place = shape.definitionRow(index)
        func finite(_ value: Double) -> Double? { value.isFinite ? value : nil }
        var row = StatisticsRow()
        (row.batch, row.head, row.row) = (place.batch, place.head, place.query)
        (row.pairs, row.entropy) = (rows.pairs[index], rows.entropy[index])
        (row.largestScore, row.lse) = (finite(rows.largestScore[index]), finite(rows.lse[index]))
        row.keptMass = kept?[index]
        return row
      })
  }
}
