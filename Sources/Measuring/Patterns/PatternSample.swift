import AttentionCore
import Basics
import Settings
import Tensors

/// A variant's pattern at a length at which it can be seen: a window of 256 keys is a full square at 256 tokens.
package struct PatternSample {
  /// Rows of q and of k.
  package let length: Int
  /// The pairs.
  package let counts: PatternCounts
  /// Of the pairs that causality allows, those that count.
  package let share: Double

  /// A pattern is seen where at most this share of its pairs counts.
  package static let visible = 0.4
  /// The first length that is tried, and the last one: of patterns that depend on data, whose definition goes pair by pair, an
  /// earlier one.
  private static let (first, last, lastOfData) = (64, 4096, 1024)

  /// Whether the pattern can be seen.
  package var isVisible: Bool { share <= Self.visible }

  /// Doubles the length until the pattern can be seen; one that never can is shown where the smallest share of its
  /// pairs counts; full attention at the first.
  /// - Parameters:
  ///   - settings: those that differ from their defaults.
  ///   - shape: whose heads, dims and causality are taken.
  ///   - most: the most heads that are counted.
  ///   - key: names the random draws; of data, Gaussian ones.
  /// - Returns: `nil` for a variant without pairs, and for one that no tried length fits.
  package init?(
    _ type: any AttentionVariant.Type, settings: [String: ParameterValue], like shape: AttentionShape,
    most: Int = 1, key: RandomKey
  ) {
    let last = type.card.dependsOnData ? Self.lastOfData : Self.last
    var found: PatternSample?
    var length = Self.first
    while length <= last {
      if let sample = try? Self(
        of: type, settings: settings, like: shape, length: length, most: most, key: key)
      {
        if sample.isVisible {
          self = sample
          return
        }
        // A length that hides less is shown rather than the first, but for a little.
        if found.map({ sample.share < 0.9 * $0.share }) ?? true { found = sample }
      }
      length *= 2
    }
    guard let found else { return nil }
    self = found
  }

  private init(
    of type: any AttentionVariant.Type, settings: [String: ParameterValue], like shape: AttentionShape,
    length: Int, most: Int, key: RandomKey
  ) throws {
    let dependsOnData = type.card.dependsOnData
    let shape = try AttentionShape(
      queryHeads: shape.queryHeads, keyHeads: shape.keyHeads, queryLength: length,
      headDim: dependsOnData ? shape.headDim : 1, isCausal: shape.isCausal)
    let attention = try type.make(settings: settings, shape: shape, key: key)
    var inputs: Operands?
    if dependsOnData {
      inputs = try InputMaker(gaussian: key).make(shape, attention.operandsRead, ledger: nil)
    }
    counts = try PatternCounts(attention, inputs: inputs, most: most)
    self.length = length
    share = Self.share(of: counts, shape)
  }

  /// Of the pairs that causality allows, those that count.
  package static func share(of counts: PatternCounts, _ shape: AttentionShape) -> Double {
    let allowed = shape.prefixPairs(validKeys: shape.keyLength)
    return allowed > 0 ? counts.pairs / (Double(counts.batch * counts.heads) * allowed) : 0
  }
}
