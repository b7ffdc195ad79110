/// How the elements of a tensor are stored. Arithmetic is in single precision whatever the storage.
public enum Precision: String, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  /// IEEE single precision: 4 bytes, 24 significant bits.
  case float32
  /// The upper half of single precision: 2 bytes, its range with 8 significant bits.
  case bfloat16

  /// The name in presets, commands and the CSV.
  public var description: String { rawValue }

  /// Bytes an element.
  public var byteCount: Int { self == .float32 ? 4 : 2 }

  /// The largest relative error of rounding to nearest: 2⁻²⁴ or 2⁻⁸.
  public var unitRoundoff: Double { self == .float32 ? 0x1p-24 : 0x1p-8 }
}

/// bfloat16, the upper half of single precision.
public enum BrainPrecision {
  /// Exact.
  public static func float(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

  /// Rounded to nearest, ties to even; a NaN stays one.
  public static func bits(_ value: Float) -> UInt16 {
    let pattern = value.bitPattern
    if value.isNaN { return UInt16(truncatingIfNeeded: pattern >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (pattern &+ 0x7FFF &+ (pattern >> 16) & 1) >> 16)
  }
}
