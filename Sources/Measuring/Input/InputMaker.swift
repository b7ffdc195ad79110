import AttentionCore
import Basics
import Foundation
import Tasks
import Tensors

/// Makes the operands of a variant for a shape; the same seed and shape give the same values to every variant.
public struct InputMaker: Sendable {
  /// The width of the embedding that text goes through.
  static let width = 32
  private static let lanes = 16

  private let source: InputSource
  private let key: RandomKey
  private let text: TextCorpus?
  private let anchors: [String]
  private let catalog: Catalog

  /// Creates a maker.
  /// - Parameters:
  ///   - source: what inputs are made of.
  ///   - seed: of what is drawn.
  ///   - anchors: where the project's sources are looked for.
  ///   - limit: the bytes of a text that are read.
  ///   - catalog: the variants that a trained model may have.
  /// - Throws: `UsageError` when the text cannot be read.
  public init(
    _ source: InputSource, seed: UInt64, anchors: [String] = [], limit: Int, catalog: Catalog = Catalog([])
  ) throws(UsageError) {
    (self.source, self.anchors, self.catalog) = (source, anchors, catalog)
    key = RandomKey(seed: seed)("input")
    switch source {
    case .gaussian, .arrays, .checkpoint: text = nil
    case .text(let path): text = try Self.text(path, anchors: anchors, limit: max(1, limit))
    }
  }

  /// Gaussian operands, named by a key.
  init(gaussian key: RandomKey) {
    (source, anchors, catalog, text) = (.gaussian, [], Catalog([]), nil)
    self.key = key("input")
  }

  /// The text of a path, or where there is none the project's own sources, or the built-in text far from them.
  /// - Throws: `UsageError` when there is nothing to read.
  static func text(_ path: String?, anchors: [String], limit: Int) throws(UsageError) -> TextCorpus {
    guard let path else {
      return (try? .projectSources(anchors: anchors, limit: limit))
        ?? TextCorpus(bytes: Array(BuiltInText.text.utf8), named: "built-in text")
    }
    do throws(TextError) {
      return try TextCorpus(path: path, limit: limit)
    } catch {
      throw UsageError("input.text: \(error)")
    }
  }

  /// The inputs of a shape.
  ///
  /// Arrays and a trained model's layer give q, k and v as they are. Gaussian: every element N(0, 1). Text: sequence b reads the bytes from `b · length` on, cyclically;
  /// `x_i = e[byte_i] + p(i)` with `e` N(0, ½) and `p` sinusoidal (base 10000, interleaved), both of width 32, and
  /// `q = x W_q`, `k = x W_k`, `v = x W_v` with W N(0, 1/32), so that elements have variance 1.
  /// Complexity: O(length · 32 · (heads · dims)) for text.
  /// What a variant reads besides q, k and v is made alike where it has rows, and Gaussian where it has none, or as it starts where
  /// it has bounds; what is optional is left out.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  public func make(_ shape: AttentionShape, _ operands: [Operand] = Operand.standard, ledger: MemoryLedger?)
    throws -> Operands
  {
    let length = max(shape.queryLength, shape.keyLength)
    func draw(_ operand: Operand) throws -> Tensor {
      let key = key(operand.name.description)
      let extents = operand.extents(at: shape)
      guard let text, operand.isStored, extents.count == 4 else {
        return try operand.measured(at: shape, key: key, ledger: ledger)
      }
      // The queries of a causal shape are the last rows of the sequence; else both begin together.
      let start = shape.isCausal ? length - extents[2] : 0
      let values = projected(
        text.bytes, key, extents[0], extents[1], extents[3], start, extents[2], stride: length)
      return try Tensor(values, shape: extents, ledger: ledger)
    }
    var inputs =
      try given(shape)?.inputs(of: shape)
      ?? Operands(query: try draw(.query), key: try draw(.key), value: try draw(.value))
    for operand in operands where !operand.isStandard && !operand.isOptional {
      inputs[operand.name] = try draw(operand)
    }
    return inputs
  }

  /// What is not drawn; `nil`: all is.
  private func given(_ shape: AttentionShape) throws -> GivenArrays? {
    switch source {
    case .gaussian, .text: nil
    case .arrays(let query, let key, let value): try GivenArrays(query: query, key: key, value: value)
    case .checkpoint(let source): try GivenArrays(source, for: shape, catalog: catalog, anchors: anchors)
    }
  }

  /// A gradient of the output: N(0, 1).
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  public func outputGradient(_ shape: AttentionShape, ledger: MemoryLedger?) throws -> Tensor {
    try .normal(shape.outputShape, key: key("output gradient"), ledger: ledger)
  }

  private func projected(
    _ bytes: [UInt8], _ key: RandomKey, _ batch: Int, _ heads: Int, _ dim: Int, _ start: Int, _ count: Int,
    stride: Int
  ) -> [Float] {
    let groups = (dim + Self.lanes - 1) / Self.lanes
    var result: [Float] = []
    result.reserveCapacity(batch * heads * count * dim)
    for b in 0..<batch {
      for head in 0..<heads {
        let weights = weights(key(head), groups: groups)
        let table = byteTable(weights, groups: groups)
        for row in 0..<count {
          let position = start + row
          let byte = Int(bytes[(b * stride + position) % bytes.count])
          let code = Self.positionCode(position)
          for group in 0..<groups {
            var sum = table[byte * groups + group]
            for t in 0..<Self.width {
              sum.addProduct(SIMD16(repeating: code[t]), weights[t * groups + group])
            }
            for lane in 0..<min(Self.lanes, dim - group * Self.lanes) { result.append(sum[lane]) }
          }
        }
      }
    }
    return result
  }

  /// W of one head: width × (16-wide groups), N(0, 1/width).
  private func weights(_ key: RandomKey, groups: Int) -> [SIMD16<Float>] {
    var generator = key.generator()
    let deviation = 1 / Double(Self.width).squareRoot()
    return (0..<Self.width * groups).map { _ in
      var lanes = SIMD16<Float>()
      for lane in 0..<Self.lanes { lanes[lane] = Float(deviation * generator.normal()) }
      return lanes
    }
  }

  /// `e[byte] · W` for all 256 bytes: rows of the text share these products.
  private func byteTable(_ weights: [SIMD16<Float>], groups: Int) -> [SIMD16<Float>] {
    var generator = key("embedding").generator()
    var table = [SIMD16<Float>](repeating: .zero, count: 256 * groups)
    for byte in 0..<256 {
      for t in 0..<Self.width {
        let element = Float(generator.normal() * 0.5.squareRoot())
        for group in 0..<groups {
          table[byte * groups + group].addProduct(SIMD16(repeating: element), weights[t * groups + group])
        }
      }
    }
    return table
  }

  /// `p(i)_2t = sin(i / 10000^(2t/width))`, `p(i)_2t+1 = cos(…)`.
  private static func positionCode(_ position: Int) -> [Float] {
    (0..<width).map { t in
      let angle = Double(position) * frequencies[t / 2]
      return Float(t % 2 == 0 ? sin(angle) : cos(angle))
    }
  }

  private static let frequencies = (0..<width / 2).map { pow(10000, -2 * Double($0) / Double(width)) }
}
