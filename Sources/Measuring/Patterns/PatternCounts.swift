import ArrayFiles
import AttentionCore
import Tensors

/// How often every pair counts, of every (batch, head) or of the first heads.
package struct PatternCounts {
  package let batch: Int, heads: Int, rows: Int, columns: Int
  /// `[batch][head][row][column]`, row-major.
  package private(set) var counts: [UInt8]
  /// Whether all heads of all sequences are alike.
  package let isShared: Bool

  /// The most pairs that are worth counting one by one.
  package static let limit = 1 << 31

  /// Counts the pairs of a variant: from its tiles when it has a pattern, else from the definition over given inputs.
  /// - Parameter most: the most heads of a sequence that are counted; the first ones are.
  /// - Throws: what the definition throws; `UsageError` for a variant without pairs.
  package init(_ attention: any AttentionVariant, inputs: Operands?, most: Int = .max) throws {
    let shape = attention.shape
    (rows, columns) = (shape.queryLength, shape.keyLength)
    heads = min(most, shape.queryHeads)
    if let variant = attention as? any PatternVariant {
      let lists = variant.pattern.lists
      isShared = lists.count == 1
      batch = 1
      counts = []
      counts.reserveCapacity(heads * rows * columns)
      for head in 0..<heads {
        if isShared, head > 0 {
          counts += counts.prefix(rows * columns)
        } else {
          counts += PatternCounts.count(variant.pattern.list(batch: 0, head: head), shape)
        }
      }
      return
    }
    let whole = try attention.definition(of: try inputs ?? PatternCounts.zeros(shape))
    guard let definition = whole as? any PairDefinition else {
      throw UsageError(
        "\(attention.card.id) has no pattern: a query reads a state of all tokens before it, not keys"
      )
    }
    batch = inputs == nil ? 1 : shape.batch
    isShared = false
    counts = []
    counts.reserveCapacity(batch * heads * rows * columns)
    for sequence in 0..<batch {
      for head in 0..<heads {
        for row in 0..<rows {
          for column in 0..<columns {
            counts.append(UInt8(clamping: definition.multiplicity(sequence, head, row, column)))
          }
        }
      }
    }
  }

  private static func count(_ list: TileList, _ shape: AttentionShape) -> [UInt8] {
    var counts = [UInt8](repeating: 0, count: shape.queryLength * shape.keyLength)
    list.forEachPair(queryOffset: shape.queryOffset) { row, key in counts[row * shape.keyLength + key] += 1 }
    return counts
  }

  package static func zeros(_ shape: AttentionShape) throws -> Operands {
    Operands(
      query: try Tensor(zeros: shape.queryShape), key: try Tensor(zeros: shape.keyShape),
      value: try Tensor(zeros: shape.valueShape))
  }

  /// The pairs that count, over all sequences and heads.
  package var pairs: Double { counts.reduce(0.0) { $0 + ($1 > 0 ? 1 : 0) } }

  /// The share of all pairs that count.
  package var density: Double { counts.isEmpty ? 0 : pairs / Double(counts.count) }

  /// `[heads, n, keys]`, or `[batch, heads, n, keys]` of several sequences.
  package var npy: NpyArray {
    NpyArray(counts, shape: (batch == 1 ? [] : [batch]) + [heads, rows, columns], as: .uint8)
  }

  /// The pattern of one head of the first sequence in `height × width` cells: the mean count and the largest of each.
  func cells(head: Int, height: Int, width: Int) -> [(mean: Double, largest: UInt8)] {
    let base = head * rows * columns
    return (0..<height * width).map { cell in
      let (y, x) = (cell / width, cell % width)
      let rowRange = y * rows / height..<max(y * rows / height + 1, (y + 1) * rows / height)
      let columnRange = x * columns / width..<max(x * columns / width + 1, (x + 1) * columns / width)
      var sum = 0
      var largest: UInt8 = 0
      for row in rowRange {
        for column in columnRange {
          let count = counts[base + row * columns + column]
          sum += count > 0 ? 1 : 0
          largest = max(largest, count)
        }
      }
      return (Double(sum) / Double(rowRange.count * columnRange.count), largest)
    }
  }
}
