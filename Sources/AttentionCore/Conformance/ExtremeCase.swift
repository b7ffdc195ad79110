import Basics
import Settings
import Tensors

/// Inputs at the ends of single precision, and the shape that they are tried at.
struct ExtremeCase: Sendable {
  /// What is extreme.
  enum Kind: String, CaseIterable, Sendable {
    /// All scores about −10³¹, no two of a row alike.
    case hugeNegativeScores = "huge negative scores"
    /// Scores of either sign about 10³¹.
    case hugeScores = "huge scores"
    /// Queries of norm 7·10¹⁹, whose squares overflow, under a scale that makes ordinary scores of them.
    case hugeNorms = "huge norms"
    /// Queries and keys whose products overflow, under a scale that makes ordinary scores of them.
    case hugeProducts = "huge products"
    /// Queries of norm 3·10⁻²⁴, whose squares vanish, likewise.
    case tinyNorms = "tiny norms"
    /// Most scores beyond the largest single, of either sign.
    case overflow = "overflowing scores"
    /// One key whose score is −∞ in single precision, among finite ones.
    case overflowOfOneKey = "one overflowing score"
    /// Scores that would overflow if they were not masked.
    case maskedOverflow = "masked overflow"
    /// Scores thousands apart, and values that show a weight that is not quite 0.
    case zeroWeights = "exact zero weights"
  }

  let kind: Kind
  let shape: AttentionShape

  static func all() throws(ConfigurationError) -> [ExtremeCase] {
    var cases: [ExtremeCase] = []
    for kind in Kind.allCases {
      // Many rows, few rows, and one with a tile of shared heads.
      let lengths = kind == .maskedOverflow ? [24] : [24, 3, 1]
      for length in lengths {
        cases.append(
          ExtremeCase(
            kind: kind,
            shape: try AttentionShape(
              queryHeads: 2, keyHeads: 1, queryLength: length, keyLength: 24, headDim: 16,
              isCausal: kind == .maskedOverflow || length == 3,
              keyLengths: kind == .maskedOverflow ? [20] : nil, scale: scale(kind))))
      }
      // What takes queries for keys needs as many of both.
      cases.append(
        ExtremeCase(
          kind: kind, shape: try AttentionShape(queryLength: 90, headDim: 16, scale: scale(kind))))
    }
    return cases
  }

  private static func scale(_ kind: Kind) -> Double {
    switch kind {
    case .hugeNegativeScores, .hugeScores, .overflowOfOneKey, .maskedOverflow: 0.25
    case .hugeNorms: 0x1p-66
    case .hugeProducts: 0x1p-125
    case .tinyNorms: 0x1p78
    case .overflow: 1e30
    case .zeroWeights: 1
    }
  }

  /// The inputs of a variant, in the shape's precision: what it declares like q, k or v is the same as these.
  func inputs(_ key: RandomKey, of variant: any AttentionVariant) throws -> Operands {
    var query = try Tensor.normal(shape.queryShape, key: key("q")).array()
    var keys = try Tensor.normal(shape.keyShape, key: key("k")).array()
    var values = try Tensor.normal(shape.valueShape, key: key("v")).array()
    let dim = shape.headDim, keyLength = shape.keyLength
    func row(_ index: Int, of length: Int) -> Int { index / dim % length }
    switch kind {
    case .hugeNegativeScores:
      // Numbers of few bits, the same in every precision: the keys of a row differ by 1/128 at least.
      for index in query.indices {
        query[index] = 0x1p51 * (1 + Float(row(index, of: shape.queryLength) % 32) / 64)
      }
      for index in keys.indices {
        keys[index] = -0x1p51 * (1 + Float((row(index, of: keyLength) * 7 + 3) % keyLength) / 128)
      }
    case .hugeScores:
      for index in query.indices { query[index] *= 0x1p53 }
      for index in keys.indices { keys[index] *= 0x1p53 }
    case .hugeNorms: for index in query.indices { query[index] *= 0x1p64 }
    case .hugeProducts:
      for index in query.indices { query[index] *= 0x1p64 }
      for index in keys.indices { keys[index] *= 0x1p62 }
    case .tinyNorms: for index in query.indices { query[index] *= 0x1p-80 }
    case .overflow: for index in query.indices { query[index] *= 0x1p40 }
    case .overflowOfOneKey:
      for index in query.indices { query[index] = 0x1p40 * (0.5 + query[index].magnitude) }
      for index in keys.indices where row(index, of: keyLength) == 1 {
        keys[index] = -0x1p100 * (0.5 + keys[index].magnitude)
      }
    case .maskedOverflow:
      // The last valid key is seen by the last queries alone, which are small; later keys are padding.
      for index in query.indices {
        let isLate = row(index, of: shape.queryLength) >= 19
        query[index] = (isLate ? 0x1p-80 : 0x1p40) * (0.5 + query[index].magnitude)
      }
      for index in keys.indices where row(index, of: keyLength) >= 19 { keys[index] *= 0x1p100 }
    case .zeroWeights:
      for index in query.indices { query[index] *= 500 }
      for index in values.indices where row(index, of: keyLength) % 2 == 1 { values[index] *= 0x1p110 }
    }
    var inputs = Operands(
      query: try Tensor(query, shape: shape.queryShape), key: try Tensor(keys, shape: shape.keyShape),
      value: try Tensor(values, shape: shape.valueShape))
    for operand in variant.operandsRead where !operand.isStandard && !operand.isOptional {
      if case .projected(let like?) = operand.source {
        inputs[operand.name] = inputs[like]
      } else {
        inputs[operand.name] = try operand.drawn(at: shape, key: key(operand.shortName))
      }
    }
    return try inputs.converted(to: shape.precision, declared: Operand.all(variant.operands))
  }
}
