import Attention
import AttentionCore
import Basics
import Settings
import Tensors
import Testing

/// Every variant under every sample at every odd shape: legal, or refused in one line; what is legal has rows of 0 where there are no
/// keys, finite gradients, and gives values that are all equal back.
@Suite struct ShapeWalkTests {
  static let key = RandomKey(seed: 8)

  /// Lengths around a tile, grouped heads, cross lengths, padding, rows without keys.
  static let shapes: [AttentionShape] = {
    func shape(
      _ length: Int, keys: Int? = nil, heads: Int = 2, keyHeads: Int = 2, isCausal: Bool = false,
      lengths: [Int]? = nil
    ) -> AttentionShape? {
      try? AttentionShape(
        batch: lengths?.count ?? 1, queryHeads: heads, keyHeads: keyHeads, queryLength: length,
        keyLength: keys, headDim: 8, isCausal: isCausal, keyLengths: lengths)
    }
    let lengths = [1, 2, 63, 64, 65].flatMap { [shape($0), shape($0, isCausal: true)] }
    let odd = [
      shape(257, isCausal: true), shape(20, heads: 4, keyHeads: 1, isCausal: true),
      shape(9, keys: 31, isCausal: true), shape(31, keys: 9, isCausal: true), shape(9, keys: 31),
      shape(31, keys: 9), shape(1, keys: 65, isCausal: true), shape(24, lengths: [24, 7, 0]),
      shape(24, isCausal: true, lengths: [0, 24, 1]),
    ]
    return (lengths + odd).compactMap(\.self)
  }()

  /// Settings that give equal values back as less than they are: a sink takes its part, a predicted window's weights do not sum to 1.
  private static func keepsConstants(_ variant: any AttentionVariant) -> Bool {
    let names = Set(variant.operands.map(\.name.description))
    return names.isDisjoint(with: ["sink_logit", "sentinel_value", "window_query"]) && names.contains("value")
  }

  @Test("every shape is legal or refused in one line", arguments: Catalog.standard.ids)
  func walk(_ id: String) throws {
    let type = try Catalog.standard.type(of: id), context = ExecutionContext(threads: 1)
    for (number, settings) in Conformance.samples(of: type).enumerated() {
      // Long ones under the defaults and one sample alone: the conformance check goes through them.
      for shape in Self.shapes where number < 2 || shape.queryLength < 63 {
        let variant: any AttentionVariant
        do {
          let fitted = try type.fitted(settings, to: shape)
          variant = try type.make(settings: fitted, shape: shape, key: Self.key)
        } catch {
          #expect(!error.description.contains("\n"))
          // A shared query–key has a key for every query; a state that fades goes one way, and blocks may lie in the past.
          let isKnown =
            id == "lsh" && shape.queryLength != shape.keyLength
            || !shape.isCausal
              && error.description.hasPrefix("causal: false is not allowed; it takes true with")
          #expect(isKnown, "\(error) at \(shape.summary)")
          continue
        }
        try Self.check(variant, "\(variant.configurationSummary) at \(shape.summary)", in: context)
      }
    }
  }

  private static func check(
    _ variant: any AttentionVariant, _ place: String, in context: ExecutionContext
  ) throws {
    let shape = variant.shape
    var inputs = Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try Tensor(
        [Float](repeating: 3, count: shape.valueShape.reduce(1, *)), shape: shape.valueShape))
    for operand in variant.operandsRead where !operand.isStandard && !operand.isOptional {
      inputs[operand.name] =
        operand.name == "value_global"
        ? inputs.value : try operand.drawn(at: shape, key: key(operand.shortName))
    }
    let forward = try variant.attend(inputs, in: context)
    let output = forward.output.array(), sums = forward.lse?.array() ?? []
    let keeps = keepsConstants(variant)
    for (index, sum) in sums.enumerated() {
      let row = output[index * shape.valueDim..<(index + 1) * shape.valueDim]
      if sum == -.infinity {
        #expect(row.allSatisfy { $0 == 0 }, "\(place), row \(index)")
      } else {
        let isFinite = row.allSatisfy { $0.isFinite }
        #expect(sum.isFinite && isFinite, "\(place), row \(index)")
        if keeps { #expect(row.allSatisfy { abs($0 - 3) < 1e-5 }, "\(place), row \(index): \(row)") }
      }
    }
    guard shape.queryLength <= 65 else { return }
    let gradient = try forward.backward(.normal(shape.outputShape, key: key("do")), in: context)
    for name in gradient.names {
      let isFinite = gradient[name]?.array().allSatisfy { $0.isFinite }
      #expect(isFinite == true, "\(place): \(name)")
    }
  }
}
