/// What an unquoted word means: the core schema of YAML 1.2, in presets, `--set` and lines of attention alike.
///
/// `null`, `~` and nothing; `true` and `false` (also `True`, `TRUE`); whole numbers in base 10, `0x1F` and `0o17`; numbers
/// with point or exponent (`.5`, `1.`, `1e3`), `.inf`, `.nan`. Everything else is text: `yes`, `inf`, `1_000`, `0x1p3`.
/// A quoted word is always text and does not come here.
/// Source: YAML 1.2.2, section 10.3.2.
public enum CoreScalar: Hashable, Sendable {
  /// Nothing.
  case null
  /// true or false.
  case bool(Bool)
  /// A whole number that 64 bits hold.
  case int(Int)
  /// Any other number; infinite beyond the range of `Double`.
  case double(Double)
  /// Text.
  case text(String)

  /// Reads a word.
  /// - Complexity: O(length).
  public init(_ word: String) {
    switch word {
    case "", "~", "null", "Null", "NULL": self = .null
    case "true", "True", "TRUE": self = .bool(true)
    case "false", "False", "FALSE": self = .bool(false)
    case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": self = .double(.infinity)
    case "-.inf", "-.Inf", "-.INF": self = .double(-.infinity)
    case ".nan", ".NaN", ".NAN": self = .double(.nan)
    default: self = CoreScalar.number(word) ?? .text(word)
    }
  }

  /// The whole number that it is, also when written with an exponent or a point: 1000 of `1e3`; else `nil`.
  public var whole: Int? {
    switch self {
    case .int(let number): number
    case .double(let number): Int(exactlyWhole: number)
    default: nil
    }
  }

  /// The number that it is, else `nil`.
  public var number: Double? {
    switch self {
    case .int(let number): Double(number)
    case .double(let number): number
    default: nil
    }
  }

  private static func number(_ word: String) -> CoreScalar? {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] where word.hasPrefix(prefix) {
      let digits = word.dropFirst(2)
      guard digits.first?.isHexDigit == true else { return nil }
      return Int(digits, radix: radix).map { .int($0) }
    }
    var rest = word.utf8[...]
    func digits() -> Int {
      let count = rest.prefix { (0x30...0x39).contains($0) }.count
      rest = rest.dropFirst(count)
      return count
    }
    func take(_ characters: String) -> Bool {
      guard let byte = rest.first, characters.utf8.contains(byte) else { return false }
      rest = rest.dropFirst()
      return true
    }
    _ = take("+-")
    let before = digits()
    if before > 0, rest.isEmpty, let whole = Int(word) { return .int(whole) }
    let hasPoint = take("."), after = hasPoint ? digits() : 0
    guard before + after > 0 else { return nil }
    if take("eE") {
      _ = take("+-")
      guard digits() > 0 else { return nil }
    }
    guard rest.isEmpty, let number = Double(before == 0 || after > 0 || !hasPoint ? word : pointless(word))
    else {
      return nil
    }
    return .double(number)
  }

  /// `1.` and `1.e3` with a digit behind the point.
  private static func pointless(_ word: String) -> String { word.replacing(".", with: ".0") }
}

extension Int {
  /// The whole number that a `Double` holds exactly, up to 2⁵³, from where on not every whole number is one.
  public init?(exactlyWhole value: Double) {
    guard value.magnitude <= 0x1p53, let whole = Int(exactly: value) else { return nil }
    self = whole
  }
}
