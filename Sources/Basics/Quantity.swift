/// Sizes and times as users type them.
public enum Quantity {
  private static let byteUnits: [(String, Double)] = [
    ("KiB", 0x1p10), ("MiB", 0x1p20), ("GiB", 0x1p30), ("TiB", 0x1p40),
    ("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("B", 1), ("", 1),
  ]
  private static let timeUnits: [(String, Double)] = [
    ("ms", 1e-3), ("min", 60), ("s", 1), ("m", 60), ("h", 3600),
  ]

  /// What a size may look like.
  public static let bytesAllowed = "a size such as 512MiB or 8GiB"
  /// What a time may look like.
  public static let secondsAllowed = "a time such as 500ms, 60s or 2m"

  /// Bytes from text such as `8GiB`, or `nil`.
  public static func bytes(_ text: String) -> Int? {
    guard let value = parse(text, byteUnits), value >= 1, value < 0x1p62 else { return nil }
    return Int(value)
  }

  /// Seconds from text such as `60s`, or `nil`.
  public static func seconds(_ text: String) -> Double? {
    guard let value = parse(text, timeUnits), value > 0, value < 1e9 else { return nil }
    return value
  }

  private static func parse(_ text: String, _ units: [(String, Double)]) -> Double? {
    guard let number = text.prefixMatch(of: /(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/)?.output else {
      return nil
    }
    let unit = text[number.endIndex...].drop { $0 == " " }
    guard let value = Double(number), let factor = units.first(where: { $0.0 == unit })?.1 else { return nil }
    return value * factor
  }

  /// A size for people: `1.5 GiB`.
  public static func describe(bytes: Double) -> String {
    guard bytes.isFinite else { return "–" }
    for (unit, factor) in [("TiB", 0x1p40), ("GiB", 0x1p30), ("MiB", 0x1p20), ("KiB", 0x1p10)]
    where abs(bytes) >= factor {
      return significant(bytes / factor, 3) + " " + unit
    }
    return whole(bytes) + " B"
  }

  /// A time for people: `1.25 ms`, `2 min 5 s`, `3 h 20 min`, `13 d 5 h`.
  public static func describe(seconds: Double) -> String {
    guard seconds.isFinite else { return "–" }
    if seconds >= 1e9 { return significant(seconds, 3) + " s" }
    for (unit, name, part, partName) in [
      (86400.0, "d", 3600.0, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"),
    ] where seconds >= 2 * unit {
      let rest = Int(seconds.truncatingRemainder(dividingBy: unit) / part)
      return "\(Int(seconds / unit)) \(name) \(rest) \(partName)"
    }
    if seconds >= 1 { return significant(seconds, 3) + " s" }
    if seconds >= 1e-3 { return significant(seconds * 1e3, 3) + " ms" }
    return significant(seconds * 1e6, 3) + " µs"
  }

  /// A whole number, whatever its size: plain below 10¹⁵, else with an exponent.
  public static func whole(_ value: Double) -> String {
    abs(value) < 1e15 ? "\(Int(value.rounded()))" : significant(value, 3)
  }

  /// A number with this many significant digits, without exponent between 1e-4 and 1e6.
  public static func significant(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "–" : (value > 0 ? "∞" : "-∞") }
    guard value != 0 else { return "0" }
    var exponent = 0
    var scaled = abs(value)
    while scaled >= 10 {
      scaled /= 10
      exponent += 1
    }
    while scaled < 1 {
      scaled *= 10
      exponent -= 1
    }
    if exponent >= 6 || exponent < -4 {
      let mantissa = rounded(value < 0 ? -scaled : scaled, decimals: digits - 1)
      return "\(mantissa)e\(exponent)"
    }
    return rounded(value, decimals: max(0, digits - 1 - exponent))
  }

  private static func rounded(_ value: Double, decimals: Int) -> String {
    var factor = 1.0
    for _ in 0..<decimals { factor *= 10 }
    let whole = Int((abs(value) * factor).rounded())
    let digits = String(whole)
    let sign = value < 0 && whole != 0 ? "-" : ""
    guard decimals > 0 else { return sign + digits }
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    return sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
  }
}

/// A bound or a default as a user would type it: `1`, `0.05`, `1e15`; not `1.0`.
public func shortNumber(_ value: Double) -> String {
  guard value.isFinite, value == value.rounded() else { return "\(value)" }
  if abs(value) < 1e6 { return "\(Int(value))" }
  let text = "\(value)"
  // A whole power of ten.
  var power = 0, rest = abs(value)
  while rest >= 10, rest.truncatingRemainder(dividingBy: 10) == 0 {
    rest /= 10
    power += 1
  }
  return rest < 1000 && power > 0 ? "\(value < 0 ? "-" : "")\(Int(rest))e\(power)" : text
}
