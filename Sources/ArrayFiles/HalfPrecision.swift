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
