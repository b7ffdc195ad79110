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
        "--stats: \(attention.card.id) tells none: it has no weights of pairs, or no method statistics(of:in:)"
      )
    }
    (shape, self.rows) = (attention.shape, rows)
    kept = try keptBy.map {
      try Self.kept(by: $0.line, $0.catalog, attention, inputs, lse: lse, key, context)
    }
  }

  private static func kept(
    by line: String, _ catalog: Catalog, _ attention: any AttentionVariant, _ inputs: Operands, lse: Tensor?,
    _ key: RandomKey, _ context: ExecutionContext
  ) throws -> [Double] {
    let other = try OtherAttention(
      line, flag: "--kept-by", catalog, attention.shape, reading: inputs, key: key)
    guard let lse, let sums = try other.attention.attend(inputs, in: context).lse else {
      throw UsageError("--kept-by \(other.id): it has no log-sum-exp")
    }
    do {
      return try KeptMass(
        of: .init(attention, inputs, lse: lse), by: .init(other.attention, inputs, lse: sums)
      ).rows
    } catch let error as KeptMass.Incomparable {
      throw UsageError(
        "--kept-by \(other.id): in row \(error.row.query) (batch \(error.row.batch), head \(error.row.head)) it sees other pairs "
          + "or has other scores")
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
