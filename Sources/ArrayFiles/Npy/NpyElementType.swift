/// The element types of `.npy` files that the lab reads and writes.
public enum NpyElementType: String, CaseIterable, Hashable, Sendable {
  /// IEEE half precision.
  case float16
  /// IEEE single precision.
  case float32
  /// IEEE double precision.
  case float64
  /// Signed 32-bit integers.
  case int32
  /// Signed 64-bit integers.
  case int64
  /// Bytes.
  case uint8
  /// One byte an element, 0 or 1.
  case bool

  /// NumPy's code without the byte order, such as `f4`.
  public var code: String {
    switch self {
    case .float16: "f2"
    case .float32: "f4"
    case .float64: "f8"
    case .int32: "i4"
    case .int64: "i8"
    case .uint8: "u1"
    case .bool: "b1"
    }
  }

  /// Bytes an element.
  public var byteCount: Int {
    switch self {
    case .uint8, .bool: 1
    case .float16: 2
    case .float32, .int32: 4
    case .float64, .int64: 8
    }
  }

  /// Whether the type holds real numbers.
  public var isReal: Bool { self == .float16 || self == .float32 || self == .float64 }

  /// The names, for error texts.
  static let allowed = "float16, float32, float64, int32, int64, uint8 or bool"
}
