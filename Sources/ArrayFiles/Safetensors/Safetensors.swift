import Tensors

/// Named tensors in a file: the safetensors format.
///
/// Layout: 8 bytes little-endian header length, a JSON header `{"name": {"dtype", "shape", "data_offsets"}}` with an
/// optional `__metadata__` of strings, then the bytes of all tensors without gaps.
/// Source: Hugging Face, "Safetensors format" (github.com/huggingface/safetensors).
public struct Safetensors: Sendable {
  /// Real tensors by name, in single precision: F32, F16 and BF16 without loss, F64 rounded to nearest.
  public var tensors: [String: Tensor]
  /// What single precision cannot hold, by name: F64 exactly, I64, I32, U8 and BOOL.
  public var arrays: [String: NpyArray]
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

  /// The names of all tensors and arrays, sorted.
  public var names: [String] { Set(tensors.keys).union(arrays.keys).sorted() }

  /// The tensor of a name, of an expected shape.
  /// - Parameter path: the file, for error texts.
  /// - Throws: `SafetensorsError` that names what is missing or both shapes.
  public func tensor(_ name: String, shape: [Int], path: String) throws(SafetensorsError) -> Tensor {
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
    let bad = tensor.withUnsafePointer { values in (0..<tensor.count).first { !values[$0].isFinite } }
    guard let bad else { return tensor }
    let index = zip(Tensor.rowMajorStrides(shape), shape).map { bad / $0 % $1 }
    let value = tensor.withUnsafePointer { $0[bad] }
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
  /// IEEE double precision.
  case float64 = "F64"
  /// IEEE single precision.
  case float32 = "F32"
  /// Signed 32-bit integers.
  case int32 = "I32"
  /// The upper half of single precision.
  case bfloat16 = "BF16"
  /// IEEE half precision.
  case float16 = "F16"
  /// Bytes.
  case uint8 = "U8"
  /// One byte an element, 0 or 1.
  case bool = "BOOL"

  /// The place in the order of layout.
  var rank: Int { SafetensorsType.allCases.firstIndex(of: self) ?? 0 }

  /// Bytes an element.
  public var byteCount: Int {
    switch self {
    case .uint8, .bool: 1
    case .float16, .bfloat16: 2
    case .float32, .int32: 4
    case .float64, .int64: 8
    }
  }

  init(_ type: NpyElementType) {
    switch type {
    case .float16: self = .float16
    case .float32: self = .float32
    case .float64: self = .float64
    case .int32: self = .int32
    case .int64: self = .int64
    case .uint8: self = .uint8
    case .bool: self = .bool
    }
  }
}

/// A safetensors file that cannot be read, written or used.
public struct SafetensorsError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The file, as the user named it.
  public let path: String
  /// What is wrong, and what is allowed.
  public let problem: String

  /// Creates the error.
  public init(path: String, problem: String) {
    self.path = path
    self.problem = problem
  }

  /// One line: the file, what is wrong.
  public var description: String { "\(path): \(problem)" }
}
