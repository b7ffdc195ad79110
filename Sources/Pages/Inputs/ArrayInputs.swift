import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import Tensors

/// Arrays from the user's `.npy` files, checked against each other before anything is computed.
package struct ArrayInputs {
  private let inputs: Operands
  private let paths: [Operand.Name: String]
  package let shape: AttentionShape

  /// Reads q, k and v, `[batch, heads, n, d]`; k of `nil` has q's shape and is zero, for variants that do not read it.
  /// - Throws: `NpyError`, `UsageError` or `ConfigurationError` in one line naming the file.
  package init(
    query: String, key: String?, value: String, isCausal: Bool, scale: Double?, keyLengths: [Int]?,
    precision: Precision = .float32
  ) throws {
    let q = try ArrayInputs.tensor(query, "q")
    let v = try ArrayInputs.tensor(value, "v")
    let k = try key.map { try ArrayInputs.tensor($0, "k") } ?? Tensor(zeros: q.shape)
    let keyName = key ?? "k"
    guard k.shape[0] == q.shape[0], k.shape[3] == q.shape[3] else {
      throw UsageError(
        "\(keyName): shape \(k.shape) does not fit q \(q.shape): batch and head dim (axes 0 and 3) must agree"
      )
    }
    guard Array(v.shape.prefix(3)) == Array(k.shape.prefix(3)) else {
      throw UsageError("\(value): shape \(v.shape) does not fit k \(k.shape): axes 0, 1 and 2 must agree")
    }
    shape = try AttentionShape(
      batch: q.shape[0], queryHeads: q.shape[1], keyHeads: k.shape[1], queryLength: q.shape[2],
      keyLength: k.shape[2], headDim: q.shape[3], valueDim: v.shape[3], isCausal: isCausal,
      keyLengths: keyLengths,
      scale: scale, precision: precision)
    inputs = Operands(query: q, key: k, value: v)
    paths = [.query: query, .key: keyName, .value: value]
  }

  /// What a variant reads, in the precision of its shape: q, k and v with the operands of given files. One that the variant
  /// learns and that starts as a constant is that constant when it is not given.
  /// - Throws: `NpyError`, `UsageError` in one line naming the file or the operand.
  package func inputs(of variant: any AttentionVariant, _ files: [NamedFiles.File]) throws -> Operands {
    var result = inputs
    for operand in variant.operands where !operand.isStandard {
      guard let path = files.first(where: { $0.name == operand.name })?.path else {
        if case .learned(.constant(let value)) = operand.source {
          let extents = operand.extents(at: shape)
          result[operand.name] = try Tensor(
            [Float](repeating: value, count: extents.reduce(1, *)), shape: extents)
        } else if !operand.isOptional, variant.rows(of: operand.name) != [] {
          throw UsageError("--in \(operand.name): \(variant.card.id) needs it: \(operand.help)")
        }
        continue
      }
      if operand.source == .edges {
        result.graphs[operand.name] = try EdgeFile.edges(path)
        continue
      }
      let array = try NpyArray(contentsOf: path)
      guard array.type.isReal else {
        throw UsageError("\(path): \(operand.name) holds \(array.type.title); it takes real numbers")
      }
      guard operand.takes(array.shape, at: shape), !array.shape.contains(0) else {
        throw UsageError(
          "\(path): shape \(array.shape); \(operand.name) takes \(operand.summary(at: shape))")
      }
      let values = try ArrayInputs.finite(array, path)
      if operand.source == .uniform, let bad = values.first(where: { !(0..<1).contains($0) }) {
        throw UsageError("\(path): holds \(bad); \(operand.name) takes numbers from 0 to below 1")
      }
      result[operand.name] = try Tensor(values, shape: array.shape)
    }
    for operand in Operand.all(variant.operands) where operand.isStored {
      guard let tensor = result[operand.name] else { continue }
      let path = paths[operand.name] ?? files.first { $0.name == operand.name }?.path ?? operand.shortName
      // Padded keys are never read.
      let isKeyed = operand.axes.contains(.keys) && operand.axes.contains(.batch) && tensor.rank == 4
      try ArrayInputs.requireFit(tensor, path, in: shape.precision) { [shape] in
        !isKeyed || $1 < shape.validKeys(batch: $0)
      }
    }
    return try result.converted(to: shape.precision, declared: Operand.all(variant.operands))
  }

  /// A finite array of four axes in single precision.
  /// - Throws: `NpyError`, `UsageError`.
  package static func tensor(_ path: String, _ name: String) throws -> Tensor {
    let array = try NpyArray(contentsOf: path)
    guard array.type.isReal else {
      throw UsageError(
        "\(path): \(name) holds \(array.type.title); it takes bfloat16, float16, float32 or float64")
    }
    guard array.shape.count == 4, !array.shape.contains(0) else {
      throw UsageError("\(path): shape \(array.shape); \(name) takes [batch, heads, n, d], none of them 0")
    }
    return try Tensor(finite(array, path), shape: array.shape)
  }

  /// The numbers of an array in single precision.
  /// - Throws: `UsageError` that names the first that is NaN or infinite there.
  static func finite(_ array: NpyArray, _ path: String) throws(UsageError) -> [Float] {
    let values = array.floats
    guard let bad = values.firstIndex(where: { !$0.isFinite }) else { return values }
    let index = zip(Tensor.rowMajorStrides(array.shape), array.shape).map { bad / $0 % $1 }
    throw UsageError(
      "\(path): element \(index) is \(values[bad]) in single precision; finite numbers are needed")
  }

  /// Refuses elements that become infinite when they are rounded to a precision; `counts`: whether a (batch, row) is read.
  private static func requireFit(
    _ tensor: Tensor, _ path: String, in precision: Precision, counts: (Int, Int) -> Bool = { _, _ in true }
  ) throws(UsageError) {
    guard precision == .bfloat16 else { return }
    // Half a unit beyond the largest number rounds to infinity.
    let largest: Float = 0x1.FEp127, limit: Float = 0x1.FFp127
    let values = tensor.array()
    for (at, x) in values.enumerated() where x.magnitude >= limit {
      let index = zip(Tensor.rowMajorStrides(tensor.shape), tensor.shape).map { at / $0 % $1 }
      guard counts(index[0], index[2]) else { continue }
      throw UsageError(
        "\(path): element \(index) is \(x), which \(precision) does not hold (at most ±\(largest)); "
          + "scale it down, or leave out --precision")
    }
  }

  /// Finite inputs can still be too large: a score, a sum or a gradient beyond single precision.
  package static func requireFinite(
    _ tensor: Tensor, _ name: String, allowing exception: Float? = nil
  ) throws(UsageError) {
    let values = tensor.array()
    guard let bad = values.firstIndex(where: { !$0.isFinite && $0 != exception }) else { return }
    let index = zip(Tensor.rowMajorStrides(tensor.shape), tensor.shape).map { bad / $0 % $1 }
    throw UsageError(
      "the \(name) exceeds single precision: element \(index) would be \(values[bad].isNaN ? "nan" : "\(values[bad])"); nothing is written "
        + "(scale the inputs down, or give a smaller --scale)")
  }

  /// Whole numbers of a comma-separated list.
  /// - Throws: `UsageError`.
  package static func numbers(_ text: String?, _ flag: String) throws -> [Int]? {
    guard let text else { return nil }
    let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map {
      Int($0.trimmed)
    }
    guard !numbers.contains(nil) else {
      throw UsageError("\(flag) \(shown(text)): it takes whole numbers separated by commas, such as 100,64")
    }
    return numbers.compactMap(\.self)
  }
}
