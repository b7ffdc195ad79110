import Basics
import Settings
import Tensors

/// A shape to try a variant on, and why.
public struct ConformanceCase: Hashable, Sendable {
  /// What the shape tests, such as `grouped-query`.
  public let group: String
  /// The sizes.
  public let shape: AttentionShape
  /// The factor on q and k of the Gaussian inputs.
  public var inputScale: Double

  /// Creates a case.
  public init(_ group: String, _ shape: AttentionShape, inputScale: Double = 1) {
    self.group = group
    self.shape = shape
    self.inputScale = inputScale
  }

  /// The awkward shapes: lengths around a tile, head sizes that are no multiple of a vector, and every legal oddity.
  /// - Parameter thorough: the whole list, up to 257 tokens; else the small ones.
  public static func standard(thorough: Bool) throws(ConfigurationError) -> [ConformanceCase] {
    var cases: [ConformanceCase] = []
    func add(_ group: String, inputScale: Double = 1, _ shape: AttentionShape) {
      cases.append(ConformanceCase(group, shape, inputScale: inputScale))
    }
    add("lengths", try AttentionShape(queryLength: 1, headDim: 24))
    add("lengths", try AttentionShape(queryLength: 2, headDim: 16, isCausal: true))
    add("lengths", try AttentionShape(queryLength: 63, headDim: 16))
    add("lengths", try AttentionShape(queryLength: 64, headDim: 8, isCausal: true))
    add("lengths", try AttentionShape(queryLength: 100, headDim: 16))
    add("head sizes", try AttentionShape(queryLength: 40, headDim: 24, valueDim: 40, isCausal: true))
    add("head sizes", try AttentionShape(queryLength: 33, headDim: 80, valueDim: 64))
    add("head sizes", try AttentionShape(queryLength: 30, headDim: 96, valueDim: 3, isCausal: true))
    add("head sizes", try AttentionShape(queryLength: 17, headDim: 128, valueDim: 130))
    add(
      "grouped-query", try AttentionShape(batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 35, headDim: 16))
    add(
      "grouped-query",
      try AttentionShape(queryHeads: 3, keyHeads: 1, queryLength: 70, headDim: 8, isCausal: true))
    add("cross lengths", try AttentionShape(queryLength: 33, keyLength: 90, headDim: 16))
    add("cross lengths", try AttentionShape(queryLength: 90, keyLength: 33, headDim: 16))
    add("cross lengths", try AttentionShape(queryLength: 33, keyLength: 90, headDim: 16, isCausal: true))
    add(
      "cross lengths",
      try AttentionShape(queryHeads: 2, queryLength: 1, keyLength: 100, headDim: 16, isCausal: true))
    add("rows without keys", try AttentionShape(queryLength: 80, keyLength: 30, headDim: 16, isCausal: true))
    add(
      "rows without keys",
      try AttentionShape(batch: 2, queryLength: 20, headDim: 8, keyLengths: [0, 20]))
    add("padding", try AttentionShape(batch: 3, queryLength: 70, headDim: 8, keyLengths: [70, 33, 1]))
    add(
      "padding",
      try AttentionShape(
        batch: 2, queryHeads: 2, queryLength: 50, headDim: 8, isCausal: true, keyLengths: [50, 20]))
    add("large scores", inputScale: 20, try AttentionShape(queryLength: 50, headDim: 16))
    add("given scale", try AttentionShape(queryLength: 40, headDim: 16, scale: 0.75))
    guard thorough else { return cases }
    add("lengths", try AttentionShape(queryHeads: 2, queryLength: 257, headDim: 64))
    add("lengths", try AttentionShape(queryHeads: 2, queryLength: 257, headDim: 64, isCausal: true))
    add("lengths", try AttentionShape(queryLength: 129, headDim: 40, isCausal: true))
    add("head sizes", try AttentionShape(queryLength: 200, headDim: 128, isCausal: true))
    add("head sizes", try AttentionShape(queryLength: 130, headDim: 96, valueDim: 80))
    add(
      "grouped-query", try AttentionShape(batch: 2, queryHeads: 6, keyHeads: 2, queryLength: 150, headDim: 40)
    )
    add("cross lengths", try AttentionShape(queryLength: 100, keyLength: 257, headDim: 64, isCausal: true))
    add("cross lengths", try AttentionShape(queryLength: 257, keyLength: 100, headDim: 24))
    add(
      "padding",
      try AttentionShape(batch: 3, queryLength: 200, headDim: 24, isCausal: true, keyLengths: [200, 131, 64]))
    return cases
  }

  /// The shape class of a cell: the same features at sizes that the reference can afford.
  /// - Complexity: the reference then takes a fraction of a second in a release build.
  public static func shapeClass(of shape: AttentionShape) throws(ConfigurationError) -> ConformanceCase {
    let longest = 320
    let ratio = max(1, Double(max(shape.queryLength, shape.keyLength)) / Double(longest))
    func reduced(_ length: Int) -> Int { max(1, Int(Double(length) / ratio)) }
    let keyHeads = min(shape.keyHeads, 1)
    let queryLength = shape.queryLength == 1 ? 1 : reduced(shape.queryLength)
    let keyLength = reduced(shape.keyLength)
    let lengths = shape.keyLengths.map { $0.prefix(1).map { min(keyLength, reduced($0)) } }
    return ConformanceCase(
      "shape class",
      try AttentionShape(
        batch: 1, queryHeads: keyHeads * min(shape.groupSize, 2), keyHeads: keyHeads,
        queryLength: queryLength,
        keyLength: keyLength, headDim: shape.headDim, valueDim: shape.valueDim, isCausal: shape.isCausal,
        keyLengths: lengths, scale: shape.scale, precision: shape.precision))
  }

  /// The same case with inputs in another precision.
  func with(precision: Precision) -> ConformanceCase {
    ConformanceCase(group, shape.with(precision: precision), inputScale: inputScale)
  }

  /// Gaussian operands of a variant at the shape, named by a key, in the shape's precision. What no row reads and what is
  /// optional is left out.
  func inputs(_ key: RandomKey, of variant: any AttentionVariant) throws -> Operands {
    let inputs = try Operands.drawn(for: variant, at: shape, key: key, inputScale: inputScale)
    return try inputs.converted(to: shape.precision, declared: Operand.all(variant.operands))
  }
}

extension AttentionShape {
  /// The sizes in one line, such as `2×4/2 heads, 100×257, d 64/40, causal`.
  public var summary: String {
    var text = "\(batch)×\(queryHeads)"
    if keyHeads != queryHeads { text += "/\(keyHeads)" }
    text += " heads, \(queryLength)×\(keyLength), d \(headDim)"
    if valueDim != headDim { text += "/\(valueDim)" }
    if isCausal { text += ", causal" }
    if let keyLengths { text += ", keys \(keyLengths)" }
    if let scale { text += ", scale \(scale)" }
    if precision != .float32 { text += ", \(precision)" }
    return text
  }
}
