import Basics
import Foundation

extension Figure {
  /// How an axis is divided and labelled.
  public enum Scale: Sendable {
    /// Lengths: powers of two.
    case length
    /// Seconds, with SI prefixes; the numbers have the unit.
    case seconds
    /// Bytes, with binary prefixes; the numbers have the unit.
    case bytes
    /// A positive number, logarithmic.
    case log
    /// A share from 0 to 1, linear from 0, in percent.
    case share
    /// A number, linear.
    case linear

    /// Whether the axis is logarithmic.
    public var isLogarithmic: Bool { base != nil }

    /// The base of the logarithm; `nil`: linear.
    var base: Int? {
      switch self {
      case .length, .bytes: 2
      case .seconds, .log: 10
      case .share, .linear: nil
      }
    }

    /// The factor from a value to what is drawn.
    var factor: Double { self == .share ? 100 : 1 }
  }
}

extension Figure.Scale {
  /// The ends of an axis: the values and a little air, so that no mark lies on the frame; `nil` without a value.
  func range(_ values: [Double]) -> ClosedRange<Double>? {
    // Beyond these sizes the air around a value, or gnuplot's arithmetic, is no number.
    let usable = values.filter { abs($0) < 1e290 && (base == nil || $0 > 1e-290) }
    guard let low = usable.min(), let high = usable.max() else { return nil }
    if self == .share { return 0...max(0.1, 1.15 * high) }
    if base != nil {
      let air = high > low ? max(1.02, pow(high / low, 0.05)) : 1.6
      return low / air...high * air
    }
    let air = high > low ? 0.05 * (high - low) : max(abs(high) * 0.1, 1e-9)
    return low - air...high + air
  }

  /// The values with numbers, at most a dozen and at least two, of a range.
  ///
  /// A logarithmic axis that is long has powers; a short one has 1-2-5; one of less than half a decade has the steps of a
  /// linear one.
  func ticks(in range: ClosedRange<Double>) -> [Double] {
    let (low, high) = (range.lowerBound * factor, range.upperBound * factor)
    guard let base, low > 0 else { return Self.steps(low, high).map { $0 / factor } }
    let powers = Self.powers(of: Double(base), from: low, to: high)
    if powers.count >= (base == 2 ? 2 : 4) {
      let skip = (powers.count + 11) / 12
      return powers.enumerated().filter { $0.offset % skip == 0 }.map(\.element)
    }
    let mixed = Self.powers(of: 10, from: low / 10, to: high).flatMap { [$0, 2 * $0, 5 * $0] }
      .filter { $0 >= low && $0 <= high }
    return base == 10 && mixed.count >= 3 ? mixed : Self.steps(low, high)
  }

  /// The powers of a base in a range.
  private static func powers(of base: Double, from low: Double, to high: Double) -> [Double] {
    // The logarithm of an exact power may lie a rounding beside it.
    let first = Int((Foundation.log(low) / Foundation.log(base) - 1e-9).rounded(.up))
    let last = Int((Foundation.log(high) / Foundation.log(base) + 1e-9).rounded(.down))
    return first <= last ? (first...last).map { pow(base, Double($0)) } : []
  }

  /// Multiples of 1, 2 or 5 times a power of ten, some five to ten of them.
  private static func steps(_ low: Double, _ high: Double) -> [Double] {
    let rough = (high - low) / 6
    guard rough > 0, rough.isFinite else { return [low] }
    let power = pow(10, Foundation.log10(rough).rounded(.down))
    let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
    let (first, last) = ((low / step).rounded(.up), (high / step).rounded(.down))
    guard last - first < 100 else { return [low] }
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  /// The numbers at the ticks of an axis, in gnuplot's mark-up: on a linear axis that needs a power of ten, all have the same.
  func texts(_ values: [Double]) -> [String] {
    guard self == .linear, let largest = values.map({ abs($0) }).max(), largest >= 1e6 else {
      return values.map(text)
    }
    let exponent = (Foundation.log10(largest) + 1e-9).rounded(.down), power = pow(10, exponent)
    return values.map { value in
      let mantissa = String(format: "%.4g", value / power)
      return value == 0 ? "0" : (mantissa == "1" ? "" : mantissa + "·") + "10^{\(Int(exponent))}"
    }
  }

  /// A number at a tick, in gnuplot's mark-up.
  func text(_ value: Double) -> String {
    switch self {
    case .length: Self.length(value)
    case .seconds: Self.seconds(value)
    case .bytes: Quantity.describe(bytes: value).replacing(".00", with: "").replacing(".0 ", with: " ")
    case .share: String(format: "%.4g %%", 100 * value)
    case .log, .linear: Self.number(value)
    }
  }

  private static func length(_ value: Double) -> String {
    for (unit, size) in [("M", 0x1p20), ("k", 0x1p10)] where value.truncatingRemainder(dividingBy: size) == 0
    {
      return number(value / size) + unit
    }
    return number(value)
  }

  private static func seconds(_ value: Double) -> String {
    let units = [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)]
    let (unit, size) = units.first { value >= 0.999 * $0.1 } ?? ("ns", 1e-9)
    return number(value / size) + " " + unit
  }

  /// `0.05`, `20000`, `2·10^{7}`.
  package static func number(_ value: Double) -> String {
    guard value != 0 else { return "0" }
    let exponent = (Foundation.log10(abs(value)) + 1e-9).rounded(.down)
    if (-4..<6).contains(exponent) { return String(format: "%.6g", value) }
    let mantissa = String(format: "%.4g", value / pow(10, exponent))
    return (mantissa == "1" ? "" : mantissa + "·") + "10^{\(Int(exponent))}"
  }

  /// A value in words, with the digits that a reader of a picture can use.
  func describe(_ value: Double) -> String {
    switch self {
    case .length: Quantity.whole(value)
    case .seconds: Quantity.describe(seconds: value)
    case .bytes: Quantity.describe(bytes: value)
    case .share: Quantity.significant(100 * value, 3) + " %"
    case .log, .linear: Quantity.significant(value, 4)
    }
  }
}
