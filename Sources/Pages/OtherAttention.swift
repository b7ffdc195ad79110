import AttentionCore
import Basics
import Foundation
import Presets
import Records
import Settings
import Tensors

/// Another attention on the q, k and v of a call, as a line of layers names one.
struct OtherAttention {
  let id: String
  let attention: any AttentionVariant

  /// Plans it.
  /// - Parameters:
  ///   - line: one attention, such as `sliding-window(left=63)`.
  ///   - flag: what the line was given to, for messages.
  ///   - catalog: the variants that there are.
  ///   - shape: that of the call.
  ///   - inputs: what there is to be read.
  ///   - key: names its draws.
  /// - Throws: `UsageError` for several layers, or one that reads what is not there; `ConfigurationError`.
  init(
    _ line: String, flag: String, _ catalog: Catalog, _ shape: AttentionShape, reading inputs: Operands,
    key: RandomKey
  ) throws {
    let layers = try LayerAttention.parse(Spelling.noted(line: line))
    guard layers.count == 1, let layer = layers.first else {
      throw UsageError("\(flag) \(shown(line)): it takes one attention, such as sliding-window(left=63)")
    }
    id = layer.id
    attention = try catalog.make(layer.id, settings: layer.settings, shape: shape, key: key)
    guard attention.operandsRead.allSatisfy({ $0.isOptional || inputs[$0.name] != nil }) else {
      throw UsageError("\(flag) \(layer.id): it reads what the attention does not")
    }
  }
}

/// How far an output is from that of another attention on the same arrays, head by head: `apply --against`.
package struct OutputComparison {
  /// One head, over all sequences and rows; `nil`: all heads.
  package struct Line {
    let head: Int?
    /// `‖o − o'‖ ÷ ‖o'‖`.
    let errorRel: Double
    /// The share of the other's weights that lies on pairs which the variant sees, the mean over rows; `nil`: its scores are
    /// others, or one of both tells no log-sum-exp.
    let keptMass: Double?
  }

  private let id: String
  private let lines: [Line]

  /// Compares.
  /// - Parameters:
  ///   - forward: what the variant gave.
  ///   - line: the other attention, as in a line of layers.
  ///   - catalog: the variants that there are.
  ///   - inputs: what both read.
  ///   - attention: what gave it.
  ///   - key: names draws of the other.
  ///   - context: threads, instruction set, ledger and cancellation.
  /// - Throws: `UsageError` for a line that is none; what attention throws.
  package init(
    _ forward: Forward, against line: String, _ catalog: Catalog, _ inputs: Operands,
    of attention: any AttentionVariant, key: RandomKey, in context: ExecutionContext
  ) throws {
    let shape = attention.shape
    let other = try OtherAttention(line, flag: "--against", catalog, shape, reading: inputs, key: key)
    id = other.id
    let reference = try other.attention.attend(inputs, in: context)
    let (x, y) = (forward.output.array(), reference.output.array())
    let shares = try Self.keptMass(
      of: (other.attention, reference.lse), by: (attention, forward.lse), inputs)
    let sums = reference.lse?.array()
    let rows = shape.queryLength, width = shape.valueDim
    func compared(_ head: Int?) -> Line {
      var difference = 0.0, norm = 0.0, masses: [Double] = []
      for place in 0..<shape.batch * shape.queryHeads where head == nil || place % shape.queryHeads == head {
        for index in place * rows * width..<(place + 1) * rows * width {
          let d = Double(x[index]) - Double(y[index])
          difference += d * d
          norm += Double(y[index]) * Double(y[index])
        }
        // A row without keys has no weights to keep.
        guard let shares, let sums else { continue }
        for row in place * rows..<(place + 1) * rows where sums[row] > -.infinity {
          masses.append(shares[row])
        }
      }
      let error = norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
      return Line(
        head: head, errorRel: error,
        keptMass: masses.isEmpty ? nil : masses.reduce(0, +) / Double(masses.count))
    }
    lines = (0..<shape.queryHeads).map { compared($0) } + (shape.queryHeads > 1 ? [compared(nil)] : [])
  }

  /// The share of every row's weights that lies on the pairs of another; `nil`: it has other scores, or one tells no log-sum-exp.
  private static func keptMass(
    of whole: (any AttentionVariant, Tensor?), by part: (any AttentionVariant, Tensor?), _ inputs: Operands
  ) throws -> [Double]? {
    guard let all = whole.1, let some = part.1 else { return nil }
    do {
      return try KeptMass(of: .init(whole.0, inputs, lse: all), by: .init(part.0, inputs, lse: some)).rows
    } catch is KeptMass.Incomparable { return nil }
  }

  /// As a table.
  package var text: String {
    let hasMass = lines.contains { $0.keptMass != nil }
    var table = TextTable(["head", "error against \(id)"] + (hasMass ? ["kept mass"] : []))
    for line in lines {
      let mass = line.keptMass.map { Quantity.significant(100 * $0, 3) + " %" } ?? "–"
      table.add(
        [line.head.map { "\($0)" } ?? "all", Quantity.significant(line.errorRel, 3)]
          + (hasMass ? [mass] : []))
    }
    return table.text
  }

  /// The same for programs.
  package var json: JSONValue {
    .object([
      "attention": .string(id),
      "heads": .array(
        lines.map {
          .object([
            "head": .number($0.head), "error_rel": .double($0.errorRel), "kept_mass": .number($0.keptMass),
          ])
        }),
    ])
  }
}
