import Basics
import Tensors

/// Named tensors in a file: the safetensors format.
///
/// Layout: 8 bytes little-endian header length, a JSON header `{"name": {"dtype", "shape", "data_offsets"}}` with an
/// optional `__metadata__` of strings, then the bytes of all tensors without gaps.
/// Source: Hugging Face, "Safetensors format" (github.com/huggingface/safetensors).
public struct Safetensors: Sendable {
  /// Real tensors by name, in single precision: F32, F16 and BF16 without loss, F64 rounded to nearest.
  public var tensors: [String: Tensor]
  /// What single precision cannot hold, by name: F64 exactly, whole numbers and BOOL.
  public var arrays: [String: NpyArray]
  /// Tensors of types that are not read, by name, with the type as the file spells it: `F8_E4M3`.
  public internal(set) var unread: [String: String] = [:]
  /// Free text by key.
  public var metadata: [String: String]

  /// Creates a set.
  public init(
    tensors: [String: Tensor] = [:], arrays: [String: NpyArray] = [:], metadata: [String: String] = [:]
  ) {
    self.tensors = tensors
    self.arrays = arrays
    self.metadata = metadata
  }

  /// The names of all tensors and arrays, sorted; those of types that are not read are in `unread`.
  public var names: [String] { Set(tensors.keys).union(arrays.keys).sorted() }

  /// The names of all, those of types that are not read included, sorted.
  public var allNames: [String] { Set(names).union(unread.keys).sorted() }

  /// The type of a tensor that is no real tensor: `I64` of an array, `F8_E4M3` of one that is not read; else `nil`.
  public func foreignType(of name: String) -> String? {
    guard tensors[name] == nil else { return nil }
    return unread[name] ?? arrays[name].map { SafetensorsType($0.type).rawValue }
  }

  /// The same tensors under other names; what `name` maps to `nil` keeps its own.
  /// - Throws: `SafetensorsError` when two come to the same name.
  public func renamed(path: String, _ name: (String) -> String?) throws(SafetensorsError) -> Safetensors {
    var result = Safetensors(metadata: metadata)
    var origins: [String: String] = [:]
    for old in allNames {
      let new = name(old) ?? old
      if let other = origins.updateValue(old, forKey: new) {
        throw SafetensorsError(path: path, problem: "\(other) and \(old) are both \(new)")
      }
      result.tensors[new] = tensors[old]
      result.arrays[new] = arrays[old]
      result.unread[new] = unread[old]
    }
    return result
  }

  /// Takes in the tensors of another file; of a name that both have, the first stays.
  public mutating func merge(_ other: Safetensors) {
    tensors.merge(other.tensors) { first, _ in first }
    arrays.merge(other.arrays) { first, _ in first }
    unread.merge(other.unread) { first, _ in first }
  }

  /// The tensor of a name, of an expected shape.
  /// - Parameters:
  ///   - name: the tensor's name in the file.
  ///   - shape: what it must be.
  ///   - path: the file, for error texts.
  /// - Throws: `SafetensorsError` that names what is missing or both shapes.
  public func tensor(_ name: String, shape: [Int], path: String) throws(SafetensorsError) -> Tensor {
    if let type = foreignType(of: name) {
      throw SafetensorsError(path: path, problem: "\(name) has type \(type); F32, F16, BF16 or F64 expected")
    }
    guard let tensor = tensors[name] else {
      let hint = tensors.count <= 12 ? "; it has \(names.joined(separator: ", "))" : ""
      throw SafetensorsError(path: path, problem: "no tensor \(name)\(hint)")
    }
    guard tensor.shape == shape else {
      throw SafetensorsError(path: path, problem: "\(name) has shape \(tensor.shape); \(shape) expected")
    }
    return tensor
  }

  /// The tensor of a name, of an expected shape, all of its elements finite: weights.
  /// - Throws: as above, and `SafetensorsError` that names the first element that is not a number or infinite.
  /// - Complexity: O(elements).
  public func finiteTensor(_ name: String, shape: [Int], path: String) throws(SafetensorsError) -> Tensor {
    let tensor = try tensor(name, shape: shape, path: path).contiguous()
    guard let bad = tensor.firstIndex(where: { !$0.isFinite }) else { return tensor }
    let index = zip(Tensor.rowMajorStrides(shape), shape).map { bad / $0 % $1 }
    let value = tensor.pinned()[bad]
    throw SafetensorsError(
      path: path,
      problem: "\(name): element \(index) is \(value.isNaN ? "nan" : "\(value)"); weights are finite numbers")
  }
}

/// The element types of a safetensors file that the lab reads and writes.
///
/// Their order is that in which the reference implementation lays tensors out: a wide type never follows a narrow one,
/// so every tensor starts at a multiple of its element size.
public enum SafetensorsType: String, CaseIterable, Hashable, Sendable {
  /// Signed 64-bit integers.
  case int64 = "I64"
  /// Unsigned 64-bit integers.
  case uint64 = "U64"
  /// IEEE double precision.
  case float64 = "F64"
  /// IEEE single precision.
  case float32 = "F32"
  /// Signed 32-bit integers.
  case int32 = "I32"
  /// Unsigned 32-bit integers.
  case uint32 = "U32"
  /// The upper half of single precision.
  case bfloat16 = "BF16"
  /// IEEE half precision.
  case float16 = "F16"
  /// Signed 16-bit integers.
  case int16 = "I16"
  /// Unsigned 16-bit integers.
  case uint16 = "U16"
  /// Signed 8-bit integers.
  case int8 = "I8"
  /// Bytes.
  case uint8 = "U8"
  /// One byte an element, 0 or 1.
  case bool = "BOOL"

  /// The place in the order of layout.
  var rank: Int { SafetensorsType.allCases.firstIndex(of: self) ?? 0 }

  /// Bytes an element.
  public var byteCount: Int {
    switch self {
    case .int8, .uint8, .bool: 1
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float32, .int32, .uint32: 4
    case .float64, .int64, .uint64: 8
    }
  }

  init(_ type: NpyElementType) {
    switch type {
    case .bfloat16: self = .bfloat16
    case .float16: self = .float16
    case .float32: self = .float32
    case .float64: self = .float64
    case .int8: self = .int8
    case .int16: self = .int16
    case .int32: self = .int32
    case .int64: self = .int64
    case .uint8: self = .uint8
    case .uint16: self = .uint16
    case .uint32: self = .uint32
    case .uint64: self = .uint64
    case .bool: self = .bool
    }
  }
}

/// A safetensors file that cannot be read, written or used.
public typealias SafetensorsError = FileFailure
