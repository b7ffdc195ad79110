import Tensors

/// A NumPy array in memory: a shape and its elements in row-major order.
///
/// Reads bfloat16 (as `ml_dtypes` writes it), float16/32/64, whole numbers of 8 to 64 bits and bool, C or Fortran order,
/// either byte order, versions 1 to 3; writes little-endian C order. Real numbers become `Float` or `Double` without
/// loss, whole numbers `Int64`; one beyond its range is refused.
public struct NpyArray: Sendable, Hashable {
  /// The elements, row-major.
  public enum Elements: Sendable, Hashable {
    /// Of a bfloat16, float16 or float32 array.
    case float([Float])
    /// Of a float64 array.
    case double([Double])
    /// Of an integer or bool array.
    case integer([Int64])
  }

  /// The type in the file.
  public let type: NpyElementType
  /// The extents.
  public let shape: [Int]
  /// The elements.
  public let elements: Elements

  init(type: NpyElementType, shape: [Int], elements: Elements) {
    self.type = type
    self.shape = shape
    self.elements = elements
  }

  /// An array of single (or, converted on writing, half or bfloat16) precision.
  /// - Precondition: as many values as the shape has elements.
  public init(_ values: [Float], shape: [Int], as type: NpyElementType = .float32) {
    precondition(values.count == shape.reduce(1, *), "\(values.count) values for shape \(shape)")
    precondition(type.isReal && type != .float64, "floats as \(type)")
    self.init(type: type, shape: shape, elements: .float(values))
  }

  /// An array of double precision.
  /// - Precondition: as many values as the shape has elements.
  public init(_ values: [Double], shape: [Int]) {
    precondition(values.count == shape.reduce(1, *), "\(values.count) values for shape \(shape)")
    self.init(type: .float64, shape: shape, elements: .double(values))
  }

  /// An array of whole numbers.
  /// - Precondition: as many values as the shape has elements, all in the range of `type`.
  public init<Value: BinaryInteger>(_ values: [Value], shape: [Int], as type: NpyElementType) {
    precondition(values.count == shape.reduce(1, *), "\(values.count) values for shape \(shape)")
    precondition(!type.isReal, "whole numbers as \(type)")
    self.init(type: type, shape: shape, elements: .integer(values.map { Int64($0) }))
  }

  /// A tensor's elements.
  public init(_ tensor: Tensor) { self.init(tensor.array(), shape: tensor.shape) }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// The elements in single precision: exact but for float64 and large integers, which are rounded to nearest.
  public var floats: [Float] {
    switch elements {
    case .float(let values): values
    case .double(let values): values.map { Float($0) }
    case .integer(let values): values.map { Float($0) }
    }
  }

  /// The elements in double precision.
  public var doubles: [Double] {
    switch elements {
    case .float(let values): values.map { Double($0) }
    case .double(let values): values
    case .integer(let values): values.map { Double($0) }
    }
  }

  /// The elements of an integer or bool array; `nil` for real numbers.
  public var integers: [Int64]? {
    if case .integer(let values) = elements { values } else { nil }
  }

  /// The array as a tensor in single precision.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  public func tensor(ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded) -> Tensor {
    try Tensor(floats, shape: shape, ledger: ledger)
  }
}
