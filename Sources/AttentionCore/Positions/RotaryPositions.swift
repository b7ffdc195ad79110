import RealModule
import Settings

/// How far rotary positions turn the q and k of a layer, and how that is stretched for texts longer than those of a training.
///
/// Pair i of the first r elements of a head turns by `p·f_i` at position p, `f_i = base^(−2i/r)`, r = share·d; the other elements stay.
public struct RotaryPositions: ParameterSet {
  /// How frequencies are stretched.
  public enum Kind: String, CaseIterable, Hashable, Sendable {
    /// Not at all.
    case plain
    /// `f_i/factor` (positions are interpolated).
    case linear
    /// The base grows with a sequence that is longer than `original_length`: `base·(factor·n/original − factor + 1)^(r/(r − 2))`.
    case dynamic
    /// Low frequencies are interpolated, high ones are not, a ramp lies between (Peng et al., 2023).
    case yarn
    /// The same with a ramp over wavelengths (Llama 3.1).
    case llama3
    /// Nothing is turned.
    case none

    /// The settings that it reads.
    var names: [String] {
      let common = ["base", "share"]
      return switch self {
      case .none: []
      case .plain: common
      case .linear: common + ["factor"]
      case .dynamic: common + ["factor", "original_length"]
      case .yarn:
        common + ["factor", "original_length", "attention_factor", "beta_fast", "beta_slow", "truncate"]
      case .llama3: common + ["factor", "original_length", "low_factor", "high_factor"]
      }
    }
  }

  /// How frequencies are stretched.
  public var kind = Kind.plain
  /// The base of the angles.
  public var base = 10_000.0
  /// The share of a head's elements that is turned.
  public var share = 1.0
  /// How many times longer texts may be.
  public var factor = 1.0
  /// The length of a text before.
  public var originalLength = 8192
  /// What cosines and sines are multiplied by under yarn; 0: `0.1·ln(factor) + 1`.
  public var attentionFactor = 0.0
  /// Turns of a pair over `original_length` from which on yarn does not interpolate it.
  public var betaFast = 32.0
  /// Turns up to which it interpolates it.
  public var betaSlow = 1.0
  /// Whether the ends of yarn's ramp are whole pairs.
  public var truncate = true
  /// `original_length` over the wavelength from which on llama3 interpolates.
  public var lowFactor = 1.0
  /// The same from which on it does not.
  public var highFactor = 4.0

  /// Base 10000, nothing stretched.
  public init() {}

  /// All settings; a kind reads some.
  public static let parameters: [Parameter<Self>] = [
    .real(
      "base", \.base, in: 1.0001...1e15,
      help: "base of the angles: pair i of r elements turns by base^(−2i/r)"),
    .real("share", \.share, in: 0.001...1, help: "share of a head's elements that is turned, the first ones"),
    .real("factor", \.factor, in: 1...1e9, help: "how many times longer texts may be"),
    .integer(
      "original_length", \.originalLength, in: 1...(1 << 30), unit: "tokens", help: "length of a text before"),
    .real(
      "attention_factor", \.attentionFactor, in: 0...1000,
      help: "what cosines and sines are multiplied by under yarn; 0: 0.1·ln(factor) + 1"),
    .real(
      "beta_fast", \.betaFast, in: 1e-6...1e9,
      help: "turns over original_length from which on yarn does not interpolate"),
    .real("beta_slow", \.betaSlow, in: 1e-6...1e9, help: "turns up to which yarn interpolates"),
    .flag("truncate", \.truncate, help: "whether the ends of yarn's ramp are whole pairs"),
    .real(
      "low_factor", \.lowFactor, in: 1e-6...1e9,
      help: "original_length over the wavelength up to which llama3 interpolates"),
    .real(
      "high_factor", \.highFactor, in: 1e-6...1e9, help: "the same from which on it does not"),
  ]

  /// Reads one layer of a line.
  /// - Throws: `ConfigurationError` for an unknown kind, a setting that it does not read, or a value out of range.
  public init(_ layer: LayerAttention) throws(ConfigurationError) {
    guard let kind = Kind(rawValue: layer.id) else {
      throw ConfigurationError(
        field: "rotary", value: layer.id,
        allowed: "one of " + Kind.allCases.map(\.rawValue).joined(separator: ", "))
    }
    try self.init(settings: layer.settings)
    self.kind = kind
    for name in Self.renamed(layer.settings).keys.sorted() where !kind.names.contains(name) {
      throw ConfigurationError(
        field: name, value: "a setting of other rotary positions",
        allowed: kind.names.isEmpty
          ? "no setting with none" : kind.names.joined(separator: ", ") + " with \(kind.rawValue)")
    }
    guard kind != .llama3 || lowFactor < highFactor else {
      throw ConfigurationError(
        field: "high_factor", value: "\(highFactor)", allowed: "a number above low_factor = \(lowFactor)")
    }
  }

  /// As a line has it, with the settings that are not at their defaults.
  public var layer: LayerAttention {
    let standard = Self().settings
    return LayerAttention(
      kind.rawValue, settings: settings.filter { kind.names.contains($0.key) && standard[$0.key] != $0.value }
    )
  }

  /// Elements of a head that are turned; an odd number is none that can be.
  public func turned(of dim: Int) -> Int { kind == .none ? 0 : Int(Double(dim) * share) }

  /// Whether frequencies depend on the length of a sequence.
  public var goesByLength: Bool { kind == .dynamic }

  /// The angle of every pair at position 1.
  /// - Parameters:
  ///   - turned: the elements of a head that are turned.
  ///   - length: of the sequence.
  /// - Complexity: O(turned).
  public func frequencies(turned: Int, length: Int) -> [Double] {
    let r = Double(turned), n = Double(originalLength)
    func plain(_ base: Double) -> [Double] {
      (0..<turned / 2).map { Double.pow(base, -2 * Double($0) / r) }
    }
    switch kind {
    case .none: return []
    case .plain: return plain(base)
    case .linear: return plain(base).map { $0 / factor }
    case .dynamic:
      let longest = Double(max(length, originalLength))
      return plain(base * Double.pow(factor * longest / n - (factor - 1), r / (r - 2)))
    case .yarn:
      func pair(_ turns: Double) -> Double { r * Double.log(n / (turns * 2 * .pi)) / (2 * Double.log(base)) }
      var (low, high) = (pair(betaFast), pair(betaSlow))
      if truncate { (low, high) = (low.rounded(.down), high.rounded(.up)) }
      (low, high) = (max(low, 0), min(high, r - 1))
      if low == high { high += 0.001 }
      return plain(base).enumerated().map { i, frequency in
        let ramp = min(max((Double(i) - low) / (high - low), 0), 1)
        return frequency / factor * ramp + frequency * (1 - ramp)
      }
    case .llama3:
      return plain(base).map { frequency in
        let waves = n * frequency / (2 * .pi)
        let whole = min(max((waves - lowFactor) / (highFactor - lowFactor), 0), 1)
        return (1 - whole) * frequency / factor + whole * frequency
      }
    }
  }

  /// What cosines and sines are multiplied by.
  public var magnitude: Double {
    guard kind == .yarn else { return 1 }
    return attentionFactor > 0 ? attentionFactor : factor <= 1 ? 1 : 0.1 * Double.log(factor) + 1
  }
}
