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

/// Conversions between IEEE half and single precision, exact in range; written out because Swift's `Float16` is not
/// available on every platform.
enum HalfPrecision {
  /// The value of a half's bits.
  static func float(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0:
      let magnitude = Float(fraction) * 0x1p-24
      return sign == 0 ? magnitude : -magnitude
    case 0x1F: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }

  /// The nearest half, ties to even; too large becomes infinite.
  static func bits(_ value: Float) -> UInt16 {
    let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
    let magnitude = value.magnitude
    if value.isNaN { return sign | 0x7E00 }
    if magnitude >= 65520 { return sign | 0x7C00 }
    if magnitude < 0x1p-14 {
      return sign | UInt16((magnitude * 0x1p24).rounded(.toNearestOrEven))
    }
    let pattern = magnitude.bitPattern - (112 << 23)
    let kept = pattern >> 13
    let rest = pattern & 0x1FFF
    let roundUp = rest > 0x1000 || (rest == 0x1000 && kept & 1 == 1)
    return sign | UInt16(kept + (roundUp ? 1 : 0))
  }
}
