/// The element types of `.npy` files that the lab reads and writes.
public enum NpyElementType: String, CaseIterable, Hashable, Sendable {
  /// The upper half of single precision. NumPy has no such type: `ml_dtypes` writes it as two bytes without a meaning
  /// (`V2`), and no other type of two bytes is written so.
  case bfloat16
  /// IEEE half precision.
  case float16
  /// IEEE single precision.
  case float32
  /// IEEE double precision.
  case float64
  /// Signed 8-bit integers.
  case int8
  /// Signed 16-bit integers.
  case int16
  /// Signed 32-bit integers.
  case int32
  /// Signed 64-bit integers.
  case int64
  /// Bytes.
  case uint8
  /// Unsigned 16-bit integers.
  case uint16
  /// Unsigned 32-bit integers.
  case uint32
  /// Unsigned 64-bit integers, of which those below 2⁶³ are read.
  case uint64
  /// One byte an element, 0 or 1.
  case bool

  /// NumPy's code without the byte order, such as `f4`.
  public var code: String {
    switch self {
    case .bfloat16: "V2"
    case .float16: "f2"
    case .float32: "f4"
    case .float64: "f8"
    case .int8: "i1"
    case .int16: "i2"
    case .int32: "i4"
    case .int64: "i8"
    case .uint8: "u1"
    case .uint16: "u2"
    case .uint32: "u4"
    case .uint64: "u8"
    case .bool: "b1"
    }
  }

  /// Bytes an element.
  public var byteCount: Int {
    switch self {
    case .int8, .uint8, .bool: 1
    case .bfloat16, .float16, .int16, .uint16: 2
    case .float32, .int32, .uint32: 4
    case .float64, .int64, .uint64: 8
    }
  }

  /// Whether the type holds real numbers.
  public var isReal: Bool {
    switch self {
    case .bfloat16, .float16, .float32, .float64: true
    default: false
    }
  }

  /// The type in messages: its name, and for bfloat16 how the file spells it.
  public var title: String { self == .bfloat16 ? "bfloat16 (written as V2)" : rawValue }

  /// The names, for error texts.
  static let allowed = allCases.map(\.rawValue).dropLast().joined(separator: ", ") + " or bool"
}
