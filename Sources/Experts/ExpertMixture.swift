import Settings

/// A feed-forward layer of experts of which a row asks some: what one layer of a line such as `dense x3, routed(experts=64, chosen=6)`
/// says.
///
/// `y = Σ_j w_j E_{e_j}(x) + g·S(x)`: e the chosen experts of a row, w their weights, E gated units, S a shared expert that every row
/// asks, g = 1 or `σ(x·v)`. With router scores `z = R x + b`:
///
/// - `softmax`: `v = softmax(z)`, the largest are chosen, `w = v`;
/// - `softmax-chosen`: the largest z are chosen, `w = softmax` over them (gpt-oss);
/// - `sigmoid`: `v = σ(z)`, chosen by `v + c`, c a correction that has no gradient; of groups of experts first those whose two best
///   have the largest sum (DeepSeek-V3).
///
/// With `renormalize` `w ← w/Σw`; then `w ← factor·w`.
/// - Source: Shazeer et al., 2017; DeepSeek-AI, 2024, DeepSeek-V3, section 2.1.2.
public struct ExpertMixture: ParameterSet {
  /// How scores become weights.
  public enum Scores: String, CaseIterable, Hashable, Sendable {
    /// Softmax over all experts.
    case softmax
    /// Softmax over those that are chosen.
    case softmaxChosen = "softmax-chosen"
    /// The logistic function of each.
    case sigmoid
  }

  /// Experts.
  public var experts = 8
  /// Experts that a row asks.
  public var chosen = 2
  /// The inner width of an expert; 0: that of the model's feed-forward layers.
  public var hidden = 0
  /// How scores become weights.
  public var scores = Scores.softmax
  /// Whether weights are divided by their sum.
  public var renormalize = true
  /// What weights are multiplied by.
  public var factor = 1.0
  /// Groups of neighbouring experts.
  public var groups = 1
  /// Groups that a row may ask.
  public var groupsChosen = 1
  /// Whether a correction without gradient is added to scores where experts are chosen.
  public var correction = false
  /// Whether the router has a bias.
  public var routerBias = false
  /// Whether experts have biases.
  public var bias = false
  /// The inner width of the shared expert; 0: there is none.
  public var shared = 0
  /// Whether the shared expert has a gate.
  public var sharedGate = false
  /// Where gate and factor of units are cut off; 0: nowhere, and units are those of the model's feed-forward layers.
  public var clamp = 0.0
  /// α of units that are cut off.
  public var alpha = 1.702

  /// Eight experts, two of which are chosen.
  public init() {}

  /// All settings.
  public static let parameters: [Parameter<Self>] = [
    .integer("experts", \.experts, in: 1...4096, help: "experts"),
    .integer("chosen", \.chosen, in: 1...4096, help: "experts that a row asks, those with the best scores"),
    .integer("hidden", \.hidden, in: 0...262_144, help: "inner width of an expert; 0: as the model's hidden"),
    .choice(
      "scores", \.scores,
      help: "how scores become weights: softmax over all, softmax over the chosen, or the logistic function"),
    .flag("renormalize", \.renormalize, help: "whether the weights of a row are divided by their sum"),
    .real("factor", \.factor, in: 0...1e6, help: "what weights are multiplied by"),
    .integer(
      "groups", \.groups, in: 1...4096, help: "groups of neighbouring experts, of which a row asks some"),
    .integer(
      "groups_chosen", \.groupsChosen, in: 1...4096,
      help: "groups that a row asks, those whose two best experts have the largest sum"),
    .flag(
      "correction", \.correction,
      help: "whether numbers without a gradient are added to scores where experts are chosen"),
    .flag("router_bias", \.routerBias, help: "whether the router has a bias"),
    .flag("bias", \.bias, help: "whether experts have biases"),
    .integer(
      "shared", \.shared, in: 0...262_144,
      help: "inner width of an expert that every row asks; 0: there is none"),
    .flag(
      "shared_gate", \.sharedGate, help: "whether the shared expert is multiplied by σ of a map of the row"),
    .real(
      "clamp", \.clamp, in: 0...1e6,
      help: "c of units (ū + 1)·ḡ·σ(α·ḡ), ḡ = min(g, c), ū within ±c (gpt-oss); 0: units as feed_forward says"
    ),
    .real("alpha", \.alpha, in: 0...1e6, help: "α of these units"),
  ]

  /// Reads one layer of a line; `nil`: `dense`, a layer without experts.
  /// - Throws: `ConfigurationError`.
  public static func read(_ layer: LayerAttention) throws(ConfigurationError) -> ExpertMixture? {
    if layer.id == "dense", layer.settings.isEmpty { return nil }
    guard layer.id == "routed" else {
      throw ConfigurationError(
        field: "experts", value: "\(layer)",
        allowed: "dense, or routed(…) with the settings of attnlab list experts")
    }
    let mixture = try ExpertMixture(settings: layer.settings)
    try mixture.validate()
    return mixture
  }

  private func validate() throws(ConfigurationError) {
    func require(_ holds: Bool, _ field: String, _ value: String, _ allowed: String)
      throws(ConfigurationError)
    {
      if !holds { throw ConfigurationError(field: field, value: value, allowed: allowed) }
    }
    try require(experts % groups == 0, "groups", "\(groups)", "a divisor of the \(experts) experts")
    try require(groupsChosen <= groups, "groups_chosen", "\(groupsChosen)", "at most the \(groups) groups")
    let eligible = experts / groups * groupsChosen
    try require(
      chosen <= eligible, "chosen", "\(chosen)", "at most the \(eligible) experts that a row may ask")
    try require(
      groups == groupsChosen || experts / groups >= 2, "groups", "\(groups)", "groups of at least two experts"
    )
    try require(
      scores == .sigmoid || !correction && groups == groupsChosen, "scores", scores.rawValue,
      "sigmoid with a correction or with groups")
    try require(!sharedGate || shared > 0, "shared_gate", "true", "false without a shared expert")
  }

  /// As a line has it, with the settings that are not at their defaults.
  public var layer: LayerAttention {
    let standard = Self().settings
    return LayerAttention("routed", settings: settings.filter { standard[$0.key] != $0.value })
  }
}
