import ArrayFiles
import AttentionCore
import Basics
import Models
import RealModule
import Settings

/// Rotary positions as transformers writes them: `rope_parameters` (of one kind, or by types of layers), or the older `rope_theta`
/// with `rope_scaling`.
extension ConfigurationReader {
  /// How far the positions of all layers turn.
  /// - Throws: `SafetensorsError` that names the entry that is wrong or not supported.
  func rotary(
    of family: HuggingFaceConfiguration.Family, _ types: [LayerType], _ model: ModelConfiguration
  ) throws(SafetensorsError) -> [RotaryPositions] {
    let given = self["rope_parameters"], scaling = self["rope_scaling"]
    let theta = try number("rope_theta", in: 1.0001...1e15)
    if family == .kimiLinear {
      for name in ["rope_parameters", "rope_scaling", "rope_theta"] where self[name] != .null {
        throw refused(name, self[name], "null, for its layers know no positions")
      }
      return [Self.still]
    }
    let share = try share(of: self, family, default: family == .qwen3Next ? 0.25 : 1)
    guard family == .gemma3 else {
      let entry = scaling == .null ? given : scaling
      guard entry == .null || entry.members.count > 0 || entry == .object([]) else {
        throw fail(scaling == .null ? "rope_parameters" : "rope_scaling", entry, "an object")
      }
      guard entry != .null || family != .gptOss else { return [Self.usualYarn(theta ?? 150_000)] }
      let turned = try rotary(
        entry, theta: theta ?? (family == .gptOss ? 150_000 : 10_000), share: share, family, model)
      return types.map { $0 == .linear ? Self.still : turned }
    }
    let local = try number("rope_local_base_freq", in: 1.0001...1e15)
    var full = given["full_attention"]
    if scaling != .null {
      full = .object(full.members.filter { member in scaling[member.key] == .null } + scaling.members)
    }
    let far = try rotary(full, theta: theta ?? 1_000_000, share: share, family, model)
    let near = try rotary(given["sliding_attention"], theta: local ?? 10_000, share: share, family, model)
    for member in given.members where LayerType(rawValue: member.key) == nil {
      throw failure(
        "rope_parameters.\(shown(member.key)) is not supported; it takes full_attention and sliding_attention"
      )
    }
    return types.map { $0 == .full ? far : near }
  }

  private func rotary(
    _ entry: JSONValue, theta: Double, share: Double, _ family: HuggingFaceConfiguration.Family,
    _ model: ModelConfiguration
  ) throws(SafetensorsError) -> RotaryPositions {
    let part = ConfigurationReader(entries: entry, path: path, family: family.rawValue)
    var result = RotaryPositions()
    let type = part["rope_type"] == .null ? part["type"] : part["rope_type"]
    _ = part["type"]
    let kinds: [String: RotaryPositions.Kind] = [
      "default": .plain, "linear": .linear, "dynamic": .dynamic, "yarn": .yarn, "llama3": .llama3,
    ]
    guard let kind = kinds[type == .null ? "default" : type.stringValue ?? type.compact] else {
      throw refused("rope_type", type, "default, linear, dynamic, yarn or llama3")
    }
    result.kind = kind
    result.base = try part.number("rope_theta", in: 1.0001...1e15) ?? theta
    result.share = try self.share(of: part, family, default: share)
    let factor = try part.number("factor", in: 1...1e9)
    let outer = try number("original_max_position_embeddings", in: 1...1e9)
    let inner = try part.number("original_max_position_embeddings", in: 1...1e9)
    let original = kind == .dynamic ? nil : outer ?? inner
    result.originalLength = Int(original ?? Double(model.maximumLength))
    switch kind {
    case .linear, .dynamic, .llama3:
      guard let factor else { throw part.fail("factor", .null, "a number of at least 1") }
      result.factor = factor
    case .yarn: result.factor = factor ?? max(1, Double(model.maximumLength) / Double(result.originalLength))
    case .plain, .none: break
    }
    if kind == .llama3 {
      guard let low = try part.number("low_freq_factor", in: 1e-6...1e9),
        let high = try part.number("high_freq_factor", in: 1e-6...1e9), low < high
      else {
        throw part.fail("low_freq_factor", part["low_freq_factor"], "a number below high_freq_factor")
      }
      (result.lowFactor, result.highFactor) = (low, high)
    }
    if kind == .yarn { try readYarn(part, into: &result) }
    // What another kind reads changes nothing here.
    for name in Self.rotaryKeys { _ = part[name] }
    try ConfigurationKeys.check(part)
    return result
  }

  /// The share of a head that is turned.
  private func share(
    of part: ConfigurationReader, _ family: HuggingFaceConfiguration.Family, default usual: Double
  ) throws(SafetensorsError) -> Double {
    let share = try part.number("partial_rotary_factor", in: 0.001...1) ?? usual
    guard share == 1 || family == .qwen3Next else {
      throw refused("partial_rotary_factor", part["partial_rotary_factor"], "1")
    }
    return share
  }

  /// Nothing turns.
  private static var still: RotaryPositions {
    var none = RotaryPositions()
    none.kind = .none
    return none
  }

  /// What gpt-oss has where its file does not say it.
  private static func usualYarn(_ base: Double) -> RotaryPositions {
    var yarn = RotaryPositions()
    (yarn.kind, yarn.base, yarn.factor) = (.yarn, base, 32)
    (yarn.originalLength, yarn.truncate) = (4096, false)
    return yarn
  }

  private static let rotaryKeys = [
    "factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "beta_fast",
    "beta_slow",
    "attention_factor", "mscale", "mscale_all_dim", "truncate",
  ]

  private func readYarn(
    _ part: ConfigurationReader, into result: inout RotaryPositions
  ) throws(SafetensorsError) {
    result.betaFast = try part.number("beta_fast", in: 1e-6...1e9) ?? 32
    result.betaSlow = try part.number("beta_slow", in: 1e-6...1e9) ?? 1
    result.truncate = try part.flag("truncate", default: true)
    let own = try part.number("mscale", in: 0...1e6), all = try part.number("mscale_all_dim", in: 0...1e6)
    if let given = try part.number("attention_factor", in: 1e-6...1000) {
      result.attentionFactor = given
    } else if let own, let all, own > 0, all > 0 {
      let factor = result.factor
      result.attentionFactor =
        Self.magnitude(factor: factor, mscale: own) / Self.magnitude(factor: factor, mscale: all)
    }
  }

  /// How much larger products become under yarn: `0.1·m·ln(factor) + 1`.
  static func magnitude(factor: Double, mscale: Double) -> Double {
    factor <= 1 ? 1 : 0.1 * mscale * Double.log(factor) + 1
  }
}
